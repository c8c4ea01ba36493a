import math
from typing import ClassVar, Self

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from varinf.distributions import MultivariateNormalDiag, softplus
from varinf.posteriors._family import AbstractFamily

_LEAST = 1e-6


class MeanField(AbstractFamily):
    """Normal with independent components: a mean, and a standard deviation by softplus, for each."""

    triangular: ClassVar[bool] = False
    needs_curvature: ClassVar[bool] = False

    def built(self, dim: int, *, key: PRNGKeyArray) -> Self:
        return self

    def num_parameters(self, dim: int) -> int:
        return 2 * dim

    def __call__(self, parameters: Float[Array, "*batch parameters"]) -> MultivariateNormalDiag:
        loc, raw_scale = jnp.split(parameters, 2, axis=-1)
        return MultivariateNormalDiag(loc, positive(raw_scale))

    def moved(
        self, parameters: Float[Array, " parameters"], shift: Float[Array, " dim"], scale: Float[Array, "..."]
    ) -> MultivariateNormalDiag:
        q = self(parameters)
        return MultivariateNormalDiag(shift + scale * q.loc, scale * q.scale_diag)

    def standard(self, dim: int) -> Float[Array, " parameters"]:
        return jnp.concatenate([jnp.zeros(dim), jnp.full(dim, RAW_ONE)])

    def num_noise(self, dim: int) -> int:
        return dim

    def from_noise(
        self, parameters: Float[Array, " parameters"], noise: Float[Array, "draws noise"]
    ) -> Float[Array, "draws dim"]:
        q = self(parameters)
        return q.loc + q.scale_diag * noise

    def entropy(self, parameters: Float[Array, " parameters"], noise: Float[Array, "draws noise"]) -> Float[Array, ""]:
        return self(parameters).entropy()


def positive(raw: Float[Array, "..."]) -> Float[Array, "..."]:
    """softplus, kept a hair above zero, where a density would be infinite and its gradient not a number."""
    return softplus(raw) + _LEAST


RAW_ONE = math.log(math.expm1(1 - _LEAST))  # which `positive` takes to one
