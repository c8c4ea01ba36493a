import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array
from numpyro.distributions import Distribution, constraints

from varinf._noise import normal

_DRAWS, _AT_ONCE = 1024, 128  # from which mean and variance are worked out


class FlowDistribution(Distribution):
    """The distribution of shift + scale_tril f(loc + scale_diag ε; context), ε ~ N(0, I), for an invertible f.

    Its density at its own draws comes with them, by `sample_with_intermediates`; that of other values needs the
    inverse of f, which for an autoregressive flow takes a pass for each component.

    `mean` and `variance` are averages over 1024 fixed draws, the same ones at each call.

    Args:
        loc: `[*batch, dim]`.
        scale_diag: positive, `[*batch, dim]`.
        context: what f depends on beside its argument, `[*batch, context]`; may have length 0.
        layers: of f, from the first: modules with `forward(u, context)` and `inverse(u, context)`, which give their
            result and ln |det| of the Jacobian of `forward`.
        shift: `[dim]`, 0 if None.
        scale_tril: a lower triangular matrix `[dim, dim]`, or a vector `[dim]` for a diagonal one; 1 if None.
    """

    arg_constraints = {}  # noqa: RUF012  (NumPyro's protocol)
    support: Any = constraints.real_vector
    reparametrized_params = []  # noqa: RUF012
    pytree_data_fields = ("loc", "scale_diag", "context", "layers", "shift", "scale_tril")

    def __init__(
        self, loc, scale_diag, context, layers, shift=None, scale_tril=None, *, validate_args: bool | None = None
    ):
        self.loc, self.scale_diag, self.context, self.layers = loc, scale_diag, context, layers
        self.shift = jnp.zeros(loc.shape[-1:], loc.dtype) if shift is None else shift
        self.scale_tril = jnp.ones(loc.shape[-1:], loc.dtype) if scale_tril is None else scale_tril
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=validate_args)

    def sample(self, key: Any, sample_shape=()):
        return self.sample_with_intermediates(key, sample_shape)[0]

    def sample_with_intermediates(self, key: Any, sample_shape=()):
        """Draws, and in a list their log density."""
        (noise,) = normal(key, [(*sample_shape, *self.loc.shape)], self.loc.dtype)
        z, log_det = self.from_noise(noise)
        return z, [_log_standard_normal(noise) - log_det]

    def from_noise(self, noise: Array) -> tuple[Array, Array]:
        """The draws made of some ε `[*sample, *batch, dim]`, and ln |det| of the Jacobian, `[*sample, *batch]`."""
        u, log_det = self.loc + self.scale_diag * noise, self._log_det()
        for layer in self.layers:
            u, of_layer = layer.forward(u, self.context)
            log_det += of_layer
        u = u * self.scale_tril if self.scale_tril.ndim == 1 else u @ self.scale_tril.T
        return self.shift + u, log_det

    def to_noise(self, value: Array) -> tuple[Array, Array]:
        """The ε that values `[*sample, *batch, dim]` are made of, and ln |det| of `from_noise` there."""
        u, log_det = value - self.shift, self._log_det()
        if self.scale_tril.ndim == 1:
            u = u / self.scale_tril
        else:
            columns = u.reshape(-1, u.shape[-1]).T
            u = jax.scipy.linalg.solve_triangular(self.scale_tril, columns, lower=True).T.reshape(u.shape)
        for layer in reversed(self.layers):
            u, of_layer = layer.inverse(u, self.context)
            log_det += of_layer
        return (u - self.loc) / self.scale_diag, log_det

    def log_prob(self, value, intermediates=None):
        if intermediates:
            return intermediates[0]
        noise, log_det = self.to_noise(jnp.asarray(value))
        return _log_standard_normal(noise) - log_det

    @property
    def mean(self):
        return self._draws().mean(0)

    @property
    def variance(self):
        return self._draws().var(0)

    def _log_det(self) -> Array:
        """ln |det| of all but the layers."""
        tril = self.scale_tril
        diagonal = tril if tril.ndim == 1 else jnp.diagonal(tril)
        return jnp.log(self.scale_diag).sum(-1) + jnp.log(jnp.abs(diagonal)).sum()

    def _draws(self) -> Array:
        # in pairs of ε and −ε with second moments of I, so that an affine flow has its mean and variance exactly
        half = jax.random.normal(jax.random.key(0), (_DRAWS // 2, *self.event_shape), self.loc.dtype)
        if self.event_shape[0] <= _DRAWS // 4:
            tril = jnp.linalg.cholesky(half.T @ half / len(half))
            half = jax.scipy.linalg.solve_triangular(tril, half.T, lower=True).T
        else:
            half /= jnp.sqrt((half**2).mean(0))
        noise = jnp.concatenate([half, -half]).reshape(_DRAWS, *[1] * len(self.batch_shape), *self.event_shape)
        return jax.lax.map(lambda one: self.from_noise(one)[0], noise, batch_size=_AT_ONCE)


def _log_standard_normal(noise: Array) -> Array:
    return -0.5 * (noise**2 + math.log(2 * math.pi)).sum(-1)
