"""Compiled calls on blocks of one fixed size, so that an answer depends neither on what rows come with it nor on how
many, and another number of rows does not compile again."""

import math
import zlib
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from varinf import evaluate
from varinf.models import VAE

_ROWS = 256


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

    A row's number is made of what is in it, so that its draws depend on nothing else.
    """
    prepared = model.observation.prepare(rows)
    numbers = np.asarray([zlib.crc32(row.tobytes()) for row in prepared], np.uint32)
    return evaluate.log_likelihood(model, rows, num_samples, numbers=numbers, key=key).value


def _by_blocks(compiled: Callable[[Array], Array], rows: np.ndarray) -> np.ndarray:
    """`compiled` on blocks of the rows, the last one filled up with copies of its first row."""
    answers = []
    for start in range(0, len(rows), _ROWS):
        block = rows[start : start + _ROWS]
        full = np.concatenate([block, np.repeat(block[:1], _ROWS - len(block), axis=0)])
        answers.append(np.asarray(compiled(jnp.asarray(full)))[: len(block)])
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
