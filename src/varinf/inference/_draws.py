"""Standard normal numbers whose averages are good for their number."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray
from scipy import special
from scipy.stats import qmc

_MOST_SOBOL = 512  # dimensions beyond which a Sobol sequence of some thousand points is no better than chance


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
    if dim <= _MOST_SOBOL:
        points = qmc.Sobol(dim, rng=np.random.default_rng(seed)).random(half)
        draws = special.ndtri(np.clip(points, 1e-12, 1 - 1e-12))
    else:
        draws = np.random.default_rng(seed).standard_normal((half, dim))
    if match:
        if half >= dim:
            orthonormal, triangle = np.linalg.qr(draws)
            draws = orthonormal * np.sign(np.diagonal(triangle)) * half**0.5
        else:
            draws /= np.sqrt((draws**2).mean(0))
    return np.concatenate([draws, -draws])


def seeds(key: PRNGKeyArray, count: int) -> list[int]:
    """Seeds for NumPy that a key stands for."""
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    words = np.asarray(jax.random.key_data(key) if typed else key)
    return np.random.SeedSequence(words.tolist()).generate_state(count).tolist()
