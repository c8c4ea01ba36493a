"""Parameters of a likelihood that the network does not give: known numbers, or learned ones."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from varinf._tree import Constant
from varinf.data import Summary
from varinf.distributions import softplus
from varinf.errors import InputError
from varinf.likelihoods._observation import Standardized

# A learned standard deviation ends here, in units of the data's own. Without an end, a column that can be
# copied without error (a constant one, say) would take the density to infinity.
SCALE_FLOOR = 1e-3

_LEAST_DF = 2.0  # of known degrees of freedom: at and below two there is no variance
_DF_START = 5.0  # of learned ones


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


def scale_of_output(output: Float[Array, "..."]) -> Float[Array, "..."]:
    """A scale that the network gives: 1 where its output is zero, so that noise starts as wide as the data."""
    return learned_scale(output + raw(1 - SCALE_FLOOR))


def start_of_pair(observation: Standardized, summary: Summary | None) -> np.ndarray | None:
    """The output bias of a network that gives a location and, by `scale_of_output`, a scale."""
    if summary is None:
        return None
    loc = observation.standardize(summary.mean)
    return np.stack([loc, np.zeros_like(loc)], axis=-1)


def known_df(value: Any) -> Known:
    """Known degrees of freedom.

    Raises:
        InputError: they are not finite, or not above two.
    """
    return known_number("df", value, above=_LEAST_DF)


def raw_df(floor: float, shape: tuple[int, ...] = ()) -> Float[Array, "..."]:
    """Where learned degrees of freedom above `floor` start."""
    return raw(_DF_START - floor, shape)


def learned_df(unbounded: Any, floor: float) -> Float[Array, "..."]:
    """Learned degrees of freedom, at least `floor`."""
    return softplus(unbounded) + floor
