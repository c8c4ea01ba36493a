from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from varinf.distributions import MultivariateNormalDiag, MultivariateNormalTriL
from varinf.posteriors._family import AbstractNormalFamily


class Laplace(AbstractNormalFamily):
    """N(0, I) and nothing else: moved to the mode of a density and scaled by its curvature there, Laplace's method.

    Source: MacKay 2003, chapter 27.
    """

    triangular: ClassVar[bool] = True
    needs_curvature: ClassVar[bool] = True

    def num_parameters(self, dim: int) -> int:
        return dim

    def __call__(self, parameters: Float[Array, "*batch parameters"]) -> MultivariateNormalDiag:
        centre = jax.lax.stop_gradient(parameters)
        return MultivariateNormalDiag(centre, jnp.ones_like(centre))

    def moved(
        self, parameters: Float[Array, " parameters"], shift: Float[Array, " dim"], scale: Float[Array, "..."]
    ) -> MultivariateNormalTriL:
        return MultivariateNormalTriL(shift + scale @ parameters, scale)

    def standard(self, dim: int, scale: float | Float[Array, ""] = 1.0) -> Float[Array, " parameters"]:
        return jnp.zeros(dim)

    def num_noise(self, dim: int) -> int:
        return dim

    def from_noise(
        self, parameters: Float[Array, " parameters"], noise: Float[Array, "draws noise"]
    ) -> Float[Array, "draws dim"]:
        return jax.lax.stop_gradient(parameters) + noise
