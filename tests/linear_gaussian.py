"""A VAE whose evidence and posterior are known: x = W z + b + noise, z ~ N(0, I). For tests."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import varinf as vi
from varinf import distributions as vd
from varinf.objectives import Batch

NOISE = 0.7


class Encoder(eqx.Module):
    """q(z | x) = N(A x + c, L Lᵀ), L lower triangular."""

    weight: jax.Array
    bias: jax.Array
    tril: jax.Array

    def __call__(self, x):
        return vd.MultivariateNormal(x @ self.weight.T + self.bias, scale_tril=jnp.tril(self.tril))


class DiagonalEncoder(eqx.Module):
    weight: jax.Array
    bias: jax.Array
    log_scale: jax.Array

    def __call__(self, x):
        return vd.MultivariateNormalDiag(x @ self.weight.T + self.bias, jnp.exp(self.log_scale))


class Decoder(eqx.Module):
    weight: jax.Array
    bias: jax.Array
    log_noise: jax.Array

    def __call__(self, z):
        return vd.Independent(vd.Normal(z @ self.weight.T + self.bias, jnp.exp(self.log_noise)), 1)


def model(encoder: str = "off", dim: int = 2, columns: int = 3, seed: int = 0) -> vi.VAE:
    """`encoder`: "exact" is the posterior, "off" a full covariance that is not, "diagonal" a diagonal that is not."""
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=(columns, dim)), rng.normal(size=columns)
    covariance = np.linalg.inv(np.eye(dim) + weight.T @ weight / NOISE**2)
    gain = covariance @ weight.T / NOISE**2
    tril = np.linalg.cholesky(covariance)
    if encoder != "exact":
        gain, tril = gain + 0.1 * rng.normal(size=gain.shape), tril * 1.3
    if encoder == "diagonal":
        q = DiagonalEncoder(jnp.asarray(gain), jnp.asarray(-gain @ bias), jnp.log(jnp.asarray(np.diag(tril))))
    else:
        q = Encoder(jnp.asarray(gain), jnp.asarray(-gain @ bias), jnp.asarray(tril))
    prior = vd.MultivariateNormalDiag(jnp.zeros(dim), jnp.ones(dim))
    return vi.VAE(prior, q, Decoder(jnp.asarray(weight), jnp.asarray(bias), jnp.log(jnp.asarray(NOISE))))


@eqx.filter_jit
def log_evidence(vae: vi.VAE, x) -> jax.Array:
    """ln p(x), exact, `[n]`."""
    weight = vae.decoder.weight
    covariance = weight @ weight.T + jnp.exp(2 * vae.decoder.log_noise) * jnp.eye(len(weight))
    return vd.MultivariateNormal(vae.decoder.bias, covariance).log_prob(x)


def data(n: int = 5, columns: int = 3, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, columns))


def batch(x, mask=None, num_data=None, step=0) -> Batch:
    mask = np.ones(len(x), bool) if mask is None else np.asarray(mask)
    num_data = len(x) if num_data is None else num_data
    x = x if isinstance(x, jax.Array) else np.asarray(x)
    return Batch(x, np.arange(len(x)), mask, np.asarray(num_data), np.asarray(step))
