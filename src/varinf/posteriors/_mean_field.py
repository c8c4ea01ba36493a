import jax.numpy as jnp
from jaxtyping import Array, Float

from varinf.distributions import MultivariateNormalDiag, softplus
from varinf.posteriors._family import AbstractFamily


class MeanField(AbstractFamily):
    """Normal with independent components: a mean, and a standard deviation by softplus, for each."""

    def num_parameters(self, dim: int) -> int:
        return 2 * dim

    def __call__(self, parameters: Float[Array, "*batch parameters"]) -> MultivariateNormalDiag:
        loc, raw_scale = jnp.split(parameters, 2, axis=-1)
        return MultivariateNormalDiag(loc, positive(raw_scale))


def positive(raw: Float[Array, "..."]) -> Float[Array, "..."]:
    """softplus, kept a hair above zero, where a density would be infinite and its gradient not a number."""
    return softplus(raw) + 1e-6
