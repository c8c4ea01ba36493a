import abc
from collections.abc import Callable
from typing import Any, Self

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import Distribution

from varinf.posteriors._amortized import Amortized


class AbstractFamily(eqx.Module):
    """A family of distributions q over a vector, indexed by an unconstrained vector of parameters.

    The parameters may be free (a row for each datum, or one for all) or a network's output (`Amortized`). What else is
    trained is the family's own: float arrays that all its members share, the weights of a flow.

    Attributes:
        triangular: whether any lower triangular matrix leads from a member of the family to a member; else only a
            factor for each component does.
        needs_curvature: whether it means nothing but about a mode, scaled by the curvature there.
    """

    triangular: eqx.AbstractClassVar[bool]
    needs_curvature: eqx.AbstractClassVar[bool]

    @classmethod
    def for_data(
        cls,
        dim: int,
        *,
        num_data: int | None,
        features: Callable,
        network: Callable[[int], Callable],
        key: PRNGKeyArray,
    ) -> Amortized:
        """The posterior of a model that is built for data: q(z | x) of this family, by an encoder.

        Args:
            dim: numbers in a code.
            num_data: the rows of the data, whose number an encoder need not know.
            features: what a network sees of an observation.
            network: makes one with so many outputs.
            key: for arrays of the family's own.
        """
        family = cls().built(dim, key=key)  # pyright: ignore[reportCallIssue]
        return Amortized(network(family.num_parameters(dim)), family, features)

    @abc.abstractmethod
    def built(self, dim: int, *, key: PRNGKeyArray) -> Self:
        """The family for vectors of `dim` numbers: with fresh weights, where it has any."""

    @abc.abstractmethod
    def num_parameters(self, dim: int) -> int:
        """How many parameters a q over `dim` numbers has."""

    @abc.abstractmethod
    def __call__(self, parameters: Float[Array, "*batch parameters"]) -> Distribution:
        """The member of the family at these parameters: batch shape `[*batch]`, event shape `[dim]`."""

    @abc.abstractmethod
    def moved(
        self, parameters: Float[Array, " parameters"], shift: Float[Array, " dim"], scale: Float[Array, "..."]
    ) -> Distribution:
        """The distribution of shift + scale u, where u is of the member of the family at these parameters.

        Args:
            parameters: of u's distribution.
            shift: `[dim]`.
            scale: `[dim]`, a factor for each component, or a lower triangular matrix `[dim, dim]`, where the
                family is `triangular`.
        """

    @abc.abstractmethod
    def standard(self, dim: int, scale: float | Float[Array, ""] = 1.0) -> Float[Array, " parameters"]:
        """Parameters at which q is N(0, scale² I), or near it."""

    @abc.abstractmethod
    def num_noise(self, dim: int) -> int:
        """How many standard normal numbers make a draw."""

    @abc.abstractmethod
    def from_noise(
        self, parameters: Float[Array, " parameters"], noise: Float[Array, "draws noise"]
    ) -> Float[Array, "draws dim"]:
        """Draws from q, made of standard normal numbers so that gradients pass through."""

    @abc.abstractmethod
    def entropy(self, parameters: Float[Array, " parameters"], noise: Float[Array, "draws noise"]) -> Float[Array, ""]:
        """The entropy of q in nats: exact where it has a closed form, else averaged over the draws of this noise."""

    @abc.abstractmethod
    def moments(
        self, parameters: Float[Array, " parameters"]
    ) -> tuple[Float[Array, " dim"], Float[Array, "dim dim"]] | None:
        """Mean and covariance of q; None where they have no closed form."""


class AbstractNormalFamily(AbstractFamily):
    """A family of normal distributions, without arrays of its own."""

    def entropy(self, parameters: Float[Array, " parameters"], noise: Float[Array, "draws noise"]) -> Float[Array, ""]:
        q: Any = self(parameters)
        return q.entropy()

    def moments(self, parameters: Float[Array, " parameters"]) -> tuple[Float[Array, " dim"], Float[Array, "dim dim"]]:
        q: Any = self(parameters)
        return q.mean, q.covariance_matrix

    def built(self, dim: int, *, key: PRNGKeyArray) -> Self:
        return self
