from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from varinf._checks import at_least_one
from varinf._compiled import compiled, traced_once
from varinf.evaluate._rows import RowBlock, drawn, observed, row_blocks
from varinf.models import AbstractModel
from varinf.objectives import Request

# Rows and draws of one matrix product: enough to fill it, few enough to stay in the cache.
_ROWS, _DRAWS = 50, 100


class LogLikelihood(NamedTuple):
    """An estimate of ln p(x) for each datum, in nats.

    Attributes:
        value: a lower bound in expectation, and consistent as the draws grow in number, `[n]`.
        stderr: its standard error by the delta method, `[n]`; NaN of a single draw. Where a few draws carry the weight
            it is too small.
    """

    value: np.ndarray
    stderr: np.ndarray


def log_likelihood(
    model: AbstractModel, x: Any, num_samples: int = 5000, *, numbers: np.ndarray | None = None, key: PRNGKeyArray
) -> LogLikelihood:
    """ln p(x) by importance sampling from the posterior: ln 1/S Σ_s p(x, z_s) / q(z_s | x).

    In memory that depends on neither n nor the number of samples. Random observations (binarised pixels) are drawn
    once for each row.

    Source: Burda, Grosse and Salakhutdinov 2016, equation 8 and section 5.

    Args:
        model: a model whose latents are all local.
        x: rows as stored, `[n, *event]`, or a Source.
        num_samples: S, the draws for each row.
        numbers: of the rows, whole numbers `[n]`; their places if None.
        key: for the draws. The answer for a row depends on its number and not on the other rows.

    Raises:
        InputError: the rows cannot be observed by the model; or it has a global latent.
    """
    at_least_one("num_samples", num_samples)
    estimates = []
    for block in row_blocks(model, x, _ROWS, numbers):
        estimate = _estimate(model, block, jnp.asarray(num_samples), key)
        estimates.append(np.stack(estimate)[:, : block.count])
    return LogLikelihood(*np.concatenate(estimates, axis=1))


@compiled
def _estimate(model: AbstractModel, block: RowBlock, num_samples: Array, key: PRNGKeyArray) -> tuple[Array, Array]:
    request = Request(_DRAWS, closed_form_kl=False, stop_posterior=False)
    batch = observed(model, block, key=key)

    @traced_once
    def log_weights(draws: Array) -> Array:
        return model.score(batch, drawn(model, batch, request, draws, key=key), request).log_weights()

    def add(i: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        # Σ w and Σ w², each held relative to the largest weight up to now
        largest, first, second = carry
        draws = i * _DRAWS + jnp.arange(_DRAWS)
        new = jnp.where((draws < num_samples)[:, None], log_weights(draws), -jnp.inf)
        top = jnp.maximum(largest, new.max(0))
        safe = jnp.where(jnp.isfinite(top), top, 0.0)
        rescale, relative = jnp.exp(largest - safe), jnp.exp(new - safe)
        return top, first * rescale + relative.sum(0), second * rescale**2 + (relative**2).sum(0)

    size = block.numbers.shape[0]
    dtype = jax.eval_shape(log_weights, jnp.arange(_DRAWS)).dtype
    start = (jnp.full(size, -jnp.inf, dtype), jnp.zeros(size, dtype), jnp.zeros(size, dtype))
    largest, first, second = jax.lax.fori_loop(0, -(-num_samples // _DRAWS), add, start)
    value = largest + jnp.log(first) - jnp.log(num_samples)
    # var(mean w) / mean(w)², with the unbiased variance of w
    spread = jnp.maximum(second / first**2 - 1 / num_samples, 0) * num_samples / (num_samples - 1)
    return value, jnp.sqrt(spread)
