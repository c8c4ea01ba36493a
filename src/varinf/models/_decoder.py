from collections.abc import Callable

import equinox as eqx
from jaxtyping import Array, Float

from varinf.distributions import Independent
from varinf.likelihoods import AbstractLikelihood


class Decoder(eqx.Module):
    """p(x | z): a network, and the meaning of its output.

    Args:
        network: `[*batch, dim]` -> `[*batch, *outputs]`.
        likelihood: what the output means for each element of a datum.
        event_rank: how many axes a datum has.
    """

    network: Callable
    likelihood: AbstractLikelihood
    event_rank: int = eqx.field(static=True)

    def __call__(self, z: Float[Array, "*batch dim"]) -> Independent:
        return Independent(self.likelihood(self.network(z)), self.event_rank)
