import abc
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float


class AbstractTarget(eqx.Module):
    """A density to approximate, known up to a constant, over a vector of real numbers.

    Attributes:
        start: where to begin, `[dim]`.
    """

    start: eqx.AbstractVar[Float[Array, " dim"]]

    @abc.abstractmethod
    def log_density(self, z: Float[Array, " dim"]) -> Float[Array, ""]:
        """The logarithm of the density at z, in nats, up to a constant."""

    @abc.abstractmethod
    def constrain(self, z: Float[Array, " dim"]) -> Any:
        """What z stands for, in the user's own terms."""

    @abc.abstractmethod
    def blame(self, z: Float[Array, " dim"]) -> str:
        """Which part of the density is not finite at z, for a message; empty where there are no parts."""
