"""Standard normal numbers whose averages are good for their number."""

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray
from scipy import special
from scipy.stats import qmc

from varinf._compiled import compiled
from varinf._noise import key_words

_MOST_SOBOL = 512  # dimensions beyond which a Sobol sequence of some thousand points is no better than chance


class NormalSequence:
    """Standard normal numbers, in order: a scrambled Sobol sequence where that helps, else random ones.

    The first n of them, n a power of two, are as even as n can be.

    Args:
        dim: numbers of each draw.
        seed: of the scrambling.
    """

    def __init__(self, dim: int, seed: np.random.SeedSequence):
        self._random, self._dim = np.random.default_rng(seed), dim
        self._sobol = qmc.Sobol(dim, rng=self._random) if dim <= _MOST_SOBOL else None

    def draw(self, count: int) -> np.ndarray:
        """The next `[count, dim]`."""
        if self._sobol is None:
            return self._random.standard_normal((count, self._dim))
        return special.ndtri(np.clip(self._sobol.random(count), 1e-12, 1 - 1e-12))


def normal_draws(count: int, dim: int, seed: int, *, match: bool) -> np.ndarray:
    """`[count, dim]` numbers in pairs of z and −z: a scrambled Sobol sequence where that helps, else random ones.

    Args:
        count: how many, a power of two: a Sobol sequence is even for no other.
        dim: numbers in each.
        seed: of the scrambling.
        match: whether to give them the second moments of N(0, I), where there are enough of them, so that averages of
            quadratic functions are exact; averages of others are then no longer without bias.
    """
    half = count // 2
    draws = NormalSequence(dim, np.random.SeedSequence(seed)).draw(half)
    if match:
        if half >= dim:
            orthonormal, triangle = np.linalg.qr(draws)
            draws = orthonormal * np.sign(np.diagonal(triangle)) * half**0.5
        else:
            draws /= np.sqrt((draws**2).mean(0))
    return np.concatenate([draws, -draws])


class Noise(NamedTuple):
    """Standard normal numbers in chunks, of which the first `used` count: more of them do not compile again.

    Attributes:
        chunks: `[chunks, draws, noise]`.
        used: how many chunks.
    """

    chunks: Float[Array, "chunks draws noise"]
    used: Int[Array, ""]


class NoiseBuffer:
    """Room for the numbers of a stage, which the next stage writes over.

    Args:
        most: draws there is room for, in chunks of so many.
        chunk: draws of a chunk.
        width: numbers of a draw.
        dtype: theirs.
    """

    def __init__(self, most: int, chunk: int, width: int, dtype: np.dtype):
        self._chunks = jnp.zeros((max(1, most // chunk), chunk, width), dtype)

    def filled(self, draws: np.ndarray) -> Noise:
        """These numbers `[draws, width]`; what was returned before is gone."""
        parts = draws.astype(self._chunks.dtype).reshape(-1, *self._chunks.shape[1:])
        for i, part in enumerate(parts):
            self._chunks = _written((np.int32(i), part), self._chunks)
        return Noise(self._chunks, jnp.asarray(len(parts)))


@functools.partial(compiled, donate_rest=True)
def _written(numbered: tuple[ArrayLike, ArrayLike], chunks: Array) -> Array:
    """The chunks, written to in place, with a chunk at its number."""
    number, chunk = numbered
    return chunks.at[number].set(chunk)


def seeds(key: PRNGKeyArray, count: int) -> list[int]:
    """Seeds for NumPy that a key stands for."""
    return np.random.SeedSequence(key_words(key).tolist()).generate_state(count).tolist()
