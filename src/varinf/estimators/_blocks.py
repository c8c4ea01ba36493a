"""Compiled calls on blocks of one fixed size, so that an answer depends neither on what rows come with it nor on how
many, and another number of rows does not compile again."""

import math
import zlib
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from varinf import evaluate
from varinf.models import VAE, BayesianNetwork, Ensemble, Prediction

_ROWS = 256
_TARGETS = 10  # draws of a target at each draw of the weights


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


def prediction(model: BayesianNetwork | Ensemble, x: np.ndarray, num_samples: int, *, key: PRNGKeyArray) -> Prediction:
    """What is said of y at inputs as they are stored, with the same draws of the weights for all."""
    return Prediction(*_in_blocks(lambda block: model.predict(block, num_samples, key=key), x))


def quantiles(
    model: BayesianNetwork | Ensemble, x: np.ndarray, levels: Sequence[float], num_samples: int, *, key: PRNGKeyArray
) -> list[np.ndarray]:
    """Quantiles of p(y | x) at inputs as they are stored, by draws with the same noise for all: of each level
    `[n, *event]`."""
    # a quantile of counts is one of them
    method = "inverted_cdf" if model.likelihood.discrete else "linear"

    def of_block(block: np.ndarray) -> list[np.ndarray]:
        prepared = model.observation.x.prepare(block)
        with jax.enable_x64(True):
            drawn = np.asarray(_draw(model, prepared, num_samples, key))
        drawn = drawn.swapaxes(0, 1).reshape(len(block), -1, *drawn.shape[3:])
        return list(np.quantile(drawn, levels, axis=1, method=method))

    return _in_blocks(of_block, x)


def _in_blocks(function: Callable[[np.ndarray], Sequence[np.ndarray]], rows: np.ndarray) -> list[np.ndarray]:
    """What a function makes of rows, a block of one size at a time: arrays `[n, ...]`."""
    found = []
    for start in range(0, len(rows), _ROWS):
        block = rows[np.minimum(np.arange(start, start + _ROWS), len(rows) - 1)]
        found.append([part[: len(rows) - start] for part in function(block)])
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


@eqx.filter_jit
def _sample(model: VAE, key: PRNGKeyArray) -> Array:
    return model.sample(_ROWS, key=key)


@eqx.filter_jit
def _draw(model: BayesianNetwork | Ensemble, x: Array, num_samples: int, key: PRNGKeyArray) -> Array:
    """Draws of y, `[weights, rows, draws, *event]`."""

    def of_weights(_: None, key: PRNGKeyArray) -> tuple[None, Array]:
        weights_key, y_key = jax.random.split(key)

        def of_row(row: Array) -> Array:
            # with keys that all rows share, so that none depends on its place
            drawn = model.of_draw(lambda p, _: p.sample(y_key, (_TARGETS,)), (row[None], None), key=weights_key)
            return drawn.reshape(-1, *drawn.shape[3:])  # of [networks, draws, 1, *event]

        return None, jax.vmap(of_row)(x)

    return jax.lax.scan(of_weights, None, jax.random.split(key, num_samples))[1]
