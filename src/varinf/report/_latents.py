"""From rows to codes and back, in compiled calls of one size."""

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpyro.distributions import Distribution

from varinf.distributions import NoClosedForm, kl_per_dimension


class Codes(NamedTuple):
    """What the posterior makes of some rows.

    Attributes:
        means: of the posterior of each row, `[n, dim]`.
        kl: KL[q(z | x) || p(z)] of each latent in nats, averaged over the rows, `[dim]`; None where it has no closed
            form or the latents do not factorise.
    """

    means: np.ndarray
    kl: np.ndarray | None

    @property
    def activity(self) -> np.ndarray:
        """Var_x(E[z | x]) of each latent; a latent is active above 0.01 (Burda, Grosse and Salakhutdinov 2016)."""
        return self.means.var(0)


def prior_of(model: Any) -> Distribution:
    """p(z), which a model may hold as it is or as a module that returns it."""
    return model.prior if isinstance(model.prior, Distribution) else model.prior()


def latent_dim(model: Any) -> int:
    """How many numbers a code has."""
    return math.prod(prior_of(model).event_shape)


def encode(model: Any, rows: np.ndarray) -> Codes:
    """The codes of rows as they are stored."""
    means, kl = _chunked(lambda chunk: _encode(model, chunk), model.observation.prepare(rows), rows.shape[1:])
    return Codes(means.astype(np.float64), kl.mean(0) if kl.shape[1:] == means.shape[1:] else None)


def decode(model: Any, z: np.ndarray) -> np.ndarray:
    """The mean of p(x | z) at each of `[n, dim]` codes."""
    z = np.asarray(z, jnp.result_type(float))
    return _chunked(lambda chunk: _decode(model, chunk), z, event_shape(model))[0]


def event_shape(model: Any) -> tuple[int, ...]:
    """The shape of a row, without the work of decoding one."""
    z = jax.ShapeDtypeStruct((1, latent_dim(model)), jnp.result_type(float))
    return jax.eval_shape(lambda z: model.decode(z).mean, z).shape[1:]


def sample(model: Any, count: int, *, key: PRNGKeyArray) -> tuple[np.ndarray, np.ndarray]:
    """Means of p(x | z) at draws of z from the prior, and a draw from each."""
    try:
        means, draws = _sample(model, count, *_fast_keys(key))
    except NotImplementedError:  # JAX draws from some distributions with its default generator alone
        means, draws = _sample(model, count, *jax.random.split(key))
    return np.asarray(means), np.asarray(draws)


def at_sigmas(model: Any, sigmas: np.ndarray) -> np.ndarray:
    """The codes `[n, dim]` so many standard deviations from the prior's mean."""
    prior = prior_of(model)
    return np.asarray(prior.mean) + np.sqrt(np.asarray(prior.variance)) * sigmas


def quantiles(count: int, outermost: float = 0.01) -> np.ndarray:
    """Standard normal quantiles of evenly spaced probabilities."""
    return np.array([NormalDist().inv_cdf(p) for p in np.linspace(outermost, 1 - outermost, count)])


@eqx.filter_jit
def _encode(model: Any, rows: Array) -> tuple[Array, Array]:
    # not model.encode, which takes rows as they are stored: these are prepared, in double precision on the host
    q = model.encoder(model.observation(rows, key=None))
    try:
        kl = kl_per_dimension(q, prior_of(model))
    except NoClosedForm:
        kl = jnp.zeros((*q.batch_shape, 0))
    return q.mean, kl


@eqx.filter_jit
def _decode(model: Any, z: Array) -> tuple[Array]:
    return (model.decode(z).mean,)


@eqx.filter_jit
def _sample(model: Any, count: int, z_key: PRNGKeyArray, x_key: PRNGKeyArray) -> tuple[Array, Array]:
    p = model.decode(prior_of(model).sample(z_key, (count,)))
    return p.mean, p.sample(x_key)


def _fast_keys(key: PRNGKeyArray) -> list[PRNGKeyArray]:
    """Two keys of the generator that compiles in a fifth of the default one's time, a function of the key."""
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    words = np.random.SeedSequence(np.asarray(jax.random.key_data(key) if typed else key).tolist()).generate_state(8)
    return [jax.random.wrap_key_data(jnp.asarray(half), impl="rbg") for half in np.split(words, 2)]


def _chunked(
    function: Callable[[Array], tuple[Array, ...]], rows: np.ndarray, shape: tuple[int, ...]
) -> list[np.ndarray]:
    """`function` over rows in chunks of one size, the last filled up, so that it is compiled once.

    The size goes by the shape of a datum, which codes do not have.
    """
    size = max(1, min(256, 2**22 // max(1, math.prod(shape))))
    parts = []
    for start in range(0, len(rows), size):
        chunk = rows[start : start + size]
        missing = size - len(chunk)
        if missing:
            chunk = np.concatenate([chunk, np.repeat(chunk[:1], missing, axis=0)])
        parts.append([np.asarray(part)[: size - missing] for part in function(jnp.asarray(chunk))])
    return [np.concatenate(part) for part in zip(*parts, strict=True)]
