from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from varinf._checks import at_least_one
from varinf._compiled import compiled
from varinf.evaluate._rows import RowBlock, drawn, observed, row_blocks
from varinf.models import AbstractModel
from varinf.objectives import Request

_ROWS = 200


class Bound(NamedTuple):
    """The evidence lower bound of each datum and its two parts, in nats: elbo = reconstruction − kl.

    Attributes:
        elbo: E_q[ln p(x | z)] − KL[q(z | x) || p(z)], `[n]`.
        reconstruction: E_q[ln p(x | z)], `[n]`.
        kl: KL[q(z | x) || p(z)], `[n]`; in closed form where one is known.
        monte_carlo: the groups of latents whose KL is averaged over draws, for want of a closed form.
    """

    elbo: np.ndarray
    reconstruction: np.ndarray
    kl: np.ndarray
    monte_carlo: tuple[str, ...]


def elbo(model: AbstractModel, x: Any, num_samples: int = 16, *, key: PRNGKeyArray) -> Bound:
    """The evidence lower bound of each row. Random observations (binarised pixels) are drawn once.

    Args:
        model: a model whose latents are all local.
        x: rows as stored, `[n, *event]`, or a Source.
        num_samples: draws of z for each row.
        key: for the draws. The answer for a row depends on its place and not on the other rows.

    Raises:
        InputError: the rows cannot be observed by the model; or it has a global latent.
    """
    request = Request(at_least_one("num_samples", num_samples), closed_form_kl=True, stop_posterior=False)
    parts, estimated = [], dict[str, Array]()
    for block in row_blocks(model, x, _ROWS):
        reconstruction, exact, estimated = _parts(model, block, request, key)
        kl = np.sum([*exact.values(), *estimated.values()], axis=0)
        parts.append(np.stack([reconstruction, kl])[:, : block.count])
    reconstruction, kl = np.concatenate(parts, axis=1)
    return Bound(reconstruction - kl, reconstruction, kl, tuple(estimated))


@compiled
def _parts(
    model: AbstractModel, block: RowBlock, request: Request, key: PRNGKeyArray
) -> tuple[Array, dict[str, Array], dict[str, Array]]:
    """E_q[ln p(x | z)], and the KL of each group of latents by name: those in closed form, and those from draws."""
    batch = observed(model, block, key=key)
    draw = drawn(model, batch, request, jnp.arange(request.num_samples), key=key)
    terms = model.score(batch, draw, request)
    latents = terms.local_latents()
    exact = {latent.name: latent.kl.sum(-1) for latent in latents if latent.kl is not None}
    estimated = {latent.name: latent.log_ratio.mean(0) for latent in latents if latent.kl is None}
    return terms.log_likelihood.mean(0), exact, estimated
