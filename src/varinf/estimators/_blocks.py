"""Compiled calls on blocks of one fixed size, so that an answer depends neither on what rows come with it nor on how
many, and another number of rows does not compile again."""

import math
import zlib
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

from varinf.models import VAE
from varinf.objectives import Batch, Request

_ROWS = 256
_DRAWS = 10  # of one row at a time


def posterior_mean(model: VAE, rows: np.ndarray) -> np.ndarray:
    """The mean of q(z | x), `[n, dim]`, for rows as they are stored, `[n, *event]`."""
    return _by_blocks(lambda block: _posterior_mean(model, block), model.observation.prepare(rows))


def decoder_mean(model: VAE, codes: np.ndarray) -> np.ndarray:
    """The mean of p(x | z), `[n, *event]` in the units of the data, for codes `[n, dim]`."""
    # The network works in single precision, the way back to the units of the data in double: so do columns such as
    # 1e9 ± 1 keep their digits.
    with jax.enable_x64(True):
        return _by_blocks(lambda block: _decoder_mean(model, block), codes.astype(np.float32))


def samples(model: VAE, num_samples: int, *, key: PRNGKeyArray) -> np.ndarray:
    """Draws from p(x), `[num_samples, *event]` in the units of the data."""
    keys = (jax.random.fold_in(key, number) for number in range(math.ceil(num_samples / _ROWS)))
    with jax.enable_x64(True):
        return np.concatenate([_sample(model, block_key) for block_key in keys])[:num_samples]


def log_likelihood(model: VAE, rows: np.ndarray, num_samples: int, *, key: PRNGKeyArray) -> np.ndarray:
    """ln p(x) in nats, `[n]`, of rows as they are stored, by importance sampling with q(z | x).

    The draws for a row depend on the key and on what is in the row, and on nothing else: `varinf.evaluate` lets them
    depend on its place, which scikit-learn's estimators may not.
    """
    prepared = model.observation.prepare(rows)
    hashes = np.asarray([zlib.crc32(row.tobytes()) for row in prepared], np.uint32)
    count = jnp.asarray(num_samples)
    return _by_blocks(
        lambda block, hashed: _log_likelihood(model, block, _row_keys(key, hashed), count), prepared, hashes
    )


def _by_blocks(compiled: Callable[..., Array], *arrays: np.ndarray) -> np.ndarray:
    """`compiled` on blocks of the rows of `arrays`, the last one filled up with copies of its first row."""
    answers = []
    for start in range(0, len(arrays[0]), _ROWS):
        blocks = [array[start : start + _ROWS] for array in arrays]
        count = len(blocks[0])
        full = [np.concatenate([block, np.repeat(block[:1], _ROWS - count, axis=0)]) for block in blocks]
        answers.append(np.asarray(compiled(*map(jnp.asarray, full)))[:count])
    return np.concatenate(answers)


@eqx.filter_jit
def _posterior_mean(model: VAE, rows: Array) -> Array:
    return model.encoder(model.observation(rows, key=None)).mean


@eqx.filter_jit
def _decoder_mean(model: VAE, codes: Array) -> Array:
    return model.decode(codes).mean


@eqx.filter_jit
def _sample(model: VAE, key: PRNGKeyArray) -> Array:
    return model.sample(_ROWS, key=key)


@jax.jit
def _row_keys(key: PRNGKeyArray, hashes: UInt32[Array, " rows"]) -> PRNGKeyArray:
    """Two keys for each row, `[rows, 2]`; apart from what depends on the model, which is compiled for each."""
    return jax.vmap(lambda hashed: jax.random.split(jax.random.fold_in(key, hashed)))(hashes)


@eqx.filter_jit
def _log_likelihood(model: VAE, rows: Array, keys: PRNGKeyArray, num_samples: Int[Array, ""]) -> Float[Array, " rows"]:
    request = Request(_DRAWS, closed_form_kl=False, stop_posterior=False)

    def one(row: Array, keys: PRNGKeyArray) -> Array:
        observed = model.observation(row[None], key=keys[0])
        batch = Batch(observed, jnp.zeros(1, int), jnp.ones(1, bool), jnp.ones((), int), jnp.zeros((), int))

        def more(i: Array, total: Array) -> Array:
            draw = model.draw(batch, request, key=jax.random.fold_in(keys[1], i))
            weights = model.score(batch, draw, request).log_weights()[:, 0]
            weights = jnp.where(i * _DRAWS + jnp.arange(_DRAWS) < num_samples, weights, -jnp.inf)
            return jnp.logaddexp(total, jax.nn.logsumexp(weights))

        calls = (num_samples + _DRAWS - 1) // _DRAWS
        return jax.lax.fori_loop(0, calls, more, jnp.asarray(-jnp.inf, jnp.result_type(float)))

    return jax.vmap(one)(rows, keys) - jnp.log(num_samples)
