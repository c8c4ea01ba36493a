from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from varinf.distributions import MultivariateNormalDiag, softplus
from varinf.posteriors._family import AbstractNormalFamily

_LEAST = 1e-6


class MeanField(AbstractNormalFamily):
    """Normal with independent components: a mean, and a standard deviation by softplus, for each."""

    triangular: ClassVar[bool] = False
    needs_curvature: ClassVar[bool] = False

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

    def standard(self, dim: int, scale: float | Float[Array, ""] = 1.0) -> Float[Array, " parameters"]:
        return jnp.concatenate([jnp.zeros(dim), jnp.full(dim, raw(scale))])

    def num_noise(self, dim: int) -> int:
        return dim

    def from_noise(
        self, parameters: Float[Array, " parameters"], noise: Float[Array, "draws noise"]
    ) -> Float[Array, "draws dim"]:
        q = self(parameters)
        return q.loc + q.scale_diag * noise


def positive(raw: Float[Array, "..."]) -> Float[Array, "..."]:
    """softplus, kept a hair above zero, where a density would be infinite and its gradient not a number."""
    return softplus(raw) + _LEAST


def raw(scale: float | Float[Array, ""]) -> Float[Array, ""]:
    """What `positive` takes to `scale`."""
    return jnp.log(jnp.expm1(scale - _LEAST))
