from collections.abc import Callable
from typing import TYPE_CHECKING

import equinox as eqx
from jaxtyping import Array, Float
from numpyro.distributions import Distribution

if TYPE_CHECKING:
    from varinf.posteriors._family import AbstractFamily


class Amortized(eqx.Module):
    """q(z | x) whose parameters a network reads off x: an encoder.

    Args:
        network: `[*batch, *features]` -> `[*batch, parameters]`.
        family: what the parameters are parameters of.
        features: what the network sees of an observation, `[*batch, *event]` -> `[*batch, *features]`.
    """

    network: Callable
    family: "AbstractFamily"
    features: Callable

    def __call__(self, x: Float[Array, "..."]) -> Distribution:
        return self.family(self.network(self.features(x)))
