"""From rows to codes and back, in compiled calls on blocks of one size: so an answer depends neither on what rows come
with it nor on how many, and another number of rows does not compile again."""

import math
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from varinf import data
from varinf._compiled import compiled
from varinf.distributions import NoClosedForm, kl_per_dimension
from varinf.evaluate._rows import padded_blocks
from varinf.models import prior_of


class Codes(NamedTuple):
    """What the posterior makes of some rows.

    Attributes:
        means: of q(z | x) of each row, `[n, dim]`.
        stds: its standard deviations, `[n, dim]`.
        kl: KL[q(z | x) || p(z)] of each latent in nats, averaged over the rows, `[dim]`; None where it has no closed
            form or the latents do not factorise.
    """

    means: np.ndarray
    stds: np.ndarray
    kl: np.ndarray | None

    @property
    def activity(self) -> np.ndarray:
        """Var_x(E[z | x]) of each latent; a latent is active above 0.01 (Burda, Grosse and Salakhutdinov 2016)."""
        return self.means.var(0, dtype=np.float64)


def event_shape(model: Any) -> tuple[int, ...]:
    """The shape of a row, without the work of decoding one."""
    z = jax.ShapeDtypeStruct((1, *prior_of(model).event_shape), jnp.result_type(float))
    return jax.eval_shape(lambda z: model.decode(z).mean, z).shape[1:]


def encode(model: Any, x: Any) -> Codes:
    """The codes of rows.

    Args:
        model: a VAE.
        x: rows as stored, `[n, *event]`, or a Source; whether the model can observe them is not checked.
    """
    source = data.source(x)
    parts = []
    for block in padded_blocks(model, source, _size(cast(data.Spec, source.spec).shape)):
        parts.append([np.asarray(part)[: int(block.count)] for part in _encode(model, block.data)])
    means, stds, kl = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Codes(means, stds, kl.mean(0) if kl.shape == means.shape else None)


def decode(model: Any, codes: Any) -> np.ndarray:
    """The mean of p(x | z), `[n, *event]` in the units of `VAE.decode`, at each of some codes `[n, dim]`."""
    codes = np.asarray(codes, jnp.result_type(float))
    size, parts = _size(event_shape(model)), []
    # The network works in single precision, the way back to the units of the data in double: so do columns such as
    # 1e9 ± 1 keep their digits.
    with jax.enable_x64(True):
        for start in range(0, len(codes), size):
            block = codes[start : start + size]
            full = np.concatenate([block, np.repeat(block[:1], size - len(block), axis=0)])
            parts.append(np.asarray(_decode(model, jnp.asarray(full)))[: len(block)])
    return np.concatenate(parts)


def _size(shape: tuple[int, ...]) -> int:
    """How many rows of a shape make a block: fewer of large images, for their memory."""
    return max(1, min(256, 2**22 // max(1, math.prod(shape))))


@compiled
def _encode(model: Any, prepared: PyTree[Array]) -> tuple[Array, Array, Array]:
    # not model.encode, which takes rows as they are stored: these are prepared, in double precision on the host
    q = model.encoder(model.observation(prepared, key=None))
    try:
        kl = kl_per_dimension(q, prior_of(model))
    except NoClosedForm:
        kl = jnp.zeros((*q.batch_shape, 0))
    return q.mean, jnp.sqrt(q.variance), kl


@compiled
def _decode(model: Any, codes: Array) -> Array:
    return model.decode(codes).mean
