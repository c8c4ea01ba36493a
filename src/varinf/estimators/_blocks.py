"""Compiled calls on blocks of one fixed size, so that an answer depends neither on what rows come with it nor on how
many, and another number of rows does not compile again."""

import math
import zlib

import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from varinf import evaluate
from varinf._compiled import compiled
from varinf.models import VAE

_ROWS = 256


def samples(model: VAE, num_samples: int, *, key: PRNGKeyArray) -> np.ndarray:
    """Draws from p(x), `[num_samples, *event]` in the units of the data."""
    keys = (jax.random.fold_in(key, number) for number in range(math.ceil(num_samples / _ROWS)))
    with jax.enable_x64(True):
        return np.concatenate([_sample(model, block_key) for block_key in keys])[:num_samples]


def log_likelihood(model: VAE, rows: np.ndarray, num_samples: int, *, key: PRNGKeyArray) -> np.ndarray:
    """ln p(x) in nats, `[n]`, of rows as they are stored, by importance sampling with q(z | x).

    A row's number is made of what is in it, in single precision whatever it comes in, so that its draws depend on
    nothing else.
    """
    with np.errstate(over="ignore"):
        single = np.asarray(rows, np.float32)
    numbers = np.asarray([zlib.crc32(row.tobytes()) for row in single], np.uint32)
    return evaluate.log_likelihood(model, rows, num_samples, numbers=numbers, key=key).value


@compiled
def _sample(model: VAE, key: PRNGKeyArray) -> Array | np.ndarray:
    return model.sample(_ROWS, key=key)
