"""Parameters of a likelihood that the network does not give: known numbers, or learned ones."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from varinf._tree import Constant
from varinf.distributions import softplus
from varinf.errors import InputError

# A learned standard deviation ends here, in units of the data's own. Without an end, a column that can be
# copied without error (a constant one, say) would take the density to infinity.
SCALE_FLOOR = 1e-3


class Known(Constant):
    """A number, or an array of them, that is not trained."""

    value: Float[Array, "..."]


def known_number(name: str, value: Any, above: float = 0.0) -> Known:
    """What was given, on the device.

    Raises:
        InputError: it is not finite, or not above `above`.
    """
    if not isinstance(value, Tracer):
        given = np.asarray(value, np.float64)
        if not (np.isfinite(given) & (given > above)).all():
            raise InputError(f"{name} must be finite and above {above:g}, got {given}")
    return Known(jnp.asarray(value, jnp.result_type(float)))


def raw(value: float, shape: tuple[int, ...] = ()) -> Float[Array, "..."]:
    """Where a parameter must start for its softplus to be `value`."""
    return jnp.full(shape, math.log(math.expm1(value)), jnp.result_type(float))


def learned_scale(raw_scale: Any) -> Float[Array, "..."]:
    """A learned scale, at least `SCALE_FLOOR`."""
    return softplus(raw_scale) + SCALE_FLOOR
