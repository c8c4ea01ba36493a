import abc

import equinox as eqx
from jaxtyping import Array, Float
from numpyro.distributions import Distribution


class AbstractFamily(eqx.Module):
    """A family of distributions q over a vector, indexed by an unconstrained vector of parameters.

    The parameters may be free (a row for each datum, or one for all) or a network's output (`Amortized`).
    """

    @abc.abstractmethod
    def num_parameters(self, dim: int) -> int:
        """How many parameters a q over `dim` numbers has."""

    @abc.abstractmethod
    def __call__(self, parameters: Float[Array, "*batch parameters"]) -> Distribution:
        """The member of the family at these parameters: batch shape `[*batch]`, event shape `[dim]`."""
