"""How rows, as they are stored, become what a model has a density over."""

import abc
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PRNGKeyArray, PyTree
from numpyro.distributions import Distribution, Independent, constraints

from varinf._noise import uniform
from varinf._tree import Constant
from varinf.data import Summary
from varinf.errors import InputError


class AbstractObservation(eqx.Module):
    """The border between stored rows and a model: a check, a step on the host, a step on the device.

    Args:
        event_shape: of a row, where the model is built for one; None takes any.
    """

    event_shape: tuple[int, ...] | None = eqx.field(static=True, default=None, kw_only=True)

    def check(self, summary: Summary | tuple[Summary, ...]) -> None:
        """Refuse data outside what can be observed.

        Raises:
            InputError: what was expected, what came, what to do.
        """
        self._check_shape(None if isinstance(summary, tuple) else (summary.count, *summary.mean.shape))
        self._check(summary)

    def prepare(self, rows: Any) -> Any:
        """The rows as they go to the device, worked out in double precision where digits are at stake.

        Raises:
            InputError: rows of another shape than the model is built for.
        """
        self._check_shape(None if isinstance(rows, tuple) else np.shape(rows))
        return self._prepare(rows)

    def _check_shape(self, shape: tuple[int, ...] | None) -> None:
        """Refuse another shape of rows, which NumPy might spread out over theirs; None is that of several arrays."""
        wanted = self.event_shape
        if wanted is None:
            return
        if shape is None:
            raise InputError(f"expected one array, of rows of shape {wanted}, got several; pass one of them")
        if shape[max(0, len(shape) - len(wanted)) :] != wanted:  # before it there may be axes of any number
            raise InputError(
                f"expected rows of shape {wanted}, got {shape[1:]}; pass such rows, or build a model for these"
            )

    @abc.abstractmethod
    def _check(self, summary: Any) -> None:
        """`check`, of rows of the right shape."""

    @abc.abstractmethod
    def _prepare(self, rows: Any) -> Any:
        """`prepare`, of rows of the right shape."""

    @abc.abstractmethod
    def __call__(self, rows: PyTree[Array], *, key: PRNGKeyArray | None) -> PyTree[Array]:
        """The observations at prepared rows; with `key=None`, their mean where they are random."""

    @abc.abstractmethod
    def log_det(self) -> Array:
        """ln |d observation / d stored row|: added to a log density, it is one in the stored units, in nats; 0 for
        pixels, which are told of in [0, 1]."""

    @abc.abstractmethod
    def restore(self, p: Distribution) -> Distribution:
        """A distribution over observations, as one over rows in the stored units, or over pixels in [0, 1]."""


class _AbstractOnDevice(AbstractObservation):
    """Nothing is done on the host, and densities stay those of what is observed."""

    def _prepare(self, rows: Any) -> Any:
        return rows

    def log_det(self) -> Array:
        return jnp.zeros(())

    def restore(self, p: Distribution) -> Distribution:
        return p


class AsGiven(_AbstractOnDevice):
    """Rows are observed as they are; whole numbers and truth values become floats."""

    def _check(self, summary: Summary) -> None:
        pass

    def __call__(self, rows: PyTree[Array], *, key: PRNGKeyArray | None) -> PyTree[Array]:
        return jax.tree.map(as_float, rows)


class Binarized(_AbstractOnDevice):
    """Pixels as zeros and ones.

    Args:
        way: "dynamic": each time a row is visited, a pixel is one with probability value / max_value;
            "threshold": one where the value is above half of max_value; "none": grey values are kept as they
            are, as soft targets, and what comes of them is no log-likelihood; "given": the rows must hold
            zeros and ones.
        max_value: the stored value that means white.
    """

    way: str = eqx.field(static=True)
    max_value: float = eqx.field(static=True)

    def _check(self, summary: Summary) -> None:
        low, high = summary.minimum, summary.maximum
        came = f"got values from {low:g} to {high:g}"
        if self.way == "given" and not summary.binary:
            raise InputError(
                f"expected zeros and ones for a Bernoulli likelihood, {came}; take another such as 'gaussian'"
                + f", or binarize 'dynamic' or 'threshold'{_white(high)}" * (low >= 0)
            )
        if low < 0 or high > self.max_value:
            raise InputError(
                f"expected pixels in [0, {self.max_value:g}] for a Bernoulli likelihood, {came}; take another such as "
                f"'gaussian'" + f", or rescale them{_white(high)}" * (low >= 0)
            )

    def __call__(self, rows: Array, *, key: PRNGKeyArray | None) -> Array:
        if self.way == "threshold":
            return as_float(rows > self.max_value / 2)
        grey = as_float(rows)
        if self.max_value != 1:
            grey = grey / self.max_value
        if self.way == "dynamic" and key is not None:
            return as_float(uniform(key, grey.shape, grey.dtype) < grey)
        return grey


class Rescaled(_AbstractOnDevice):
    """Values in [0, max_value], divided by max_value; densities are those of the values in [0, 1]."""

    max_value: float = eqx.field(static=True)

    def _check(self, summary: Summary) -> None:
        if summary.minimum < 0 or summary.maximum > self.max_value:
            raise InputError(
                f"expected values in [0, {self.max_value:g}] for a continuous Bernoulli likelihood, got values from "
                f"{summary.minimum:g} to {summary.maximum:g}; take another such as 'gaussian'"
                + f", or rescale them{_white(summary.maximum)}"
                * (summary.minimum >= 0)
            )

    def __call__(self, rows: Array, *, key: PRNGKeyArray | None) -> Array:
        return as_float(rows) / self.max_value


class Whole(_AbstractOnDevice):
    """Whole numbers from 0 to `max_value`, or to no end where that is None, observed as they are."""

    likelihood: str = eqx.field(static=True)
    max_value: int | None = eqx.field(static=True)

    def _check(self, summary: Summary) -> None:
        low, high = summary.minimum, summary.maximum
        if low < 0 or not summary.whole or (self.max_value is not None and high > self.max_value):
            wanted = "whole numbers from 0" + ("" if self.max_value is None else f" to {self.max_value}")
            came = "values" if summary.whole else "fractions"
            raise InputError(
                f"expected {wanted} for a {self.likelihood} likelihood, got {came} from {low:g} to {high:g}; "
                "take another such as 'gaussian', or rescale the data"
            )

    def __call__(self, rows: Array, *, key: PRNGKeyArray | None) -> Array:
        return as_float(rows)


class Standardized(AbstractObservation, Constant):
    """Real numbers, shifted and scaled on the host in double precision; every density is in the stored units.

    Attributes:
        shift: what is taken off, double precision, of the shape of a row or ().
        unit: what is divided by, likewise.
        size: how many numbers a row has.
    """

    shift: np.ndarray
    unit: np.ndarray
    size: int = eqx.field(static=True)

    @classmethod
    def for_data(cls, event_shape: tuple[int, ...], summary: Summary | None) -> "Standardized":
        """In the units of each column of a table, or of all pixels of an image together; as stored, without data."""
        columns = len(event_shape) == 1
        shape = event_shape if columns else ()
        shift, unit = np.zeros(shape), np.ones(shape)
        if summary is not None:
            shift, unit = (summary.mean, summary.std) if columns else (summary.overall_mean, summary.overall_std)
            shift, unit = np.asarray(shift, np.float64), np.asarray(unit, np.float64)
            unit = np.where(unit > 0, unit, 1.0)
            float_range = jnp.finfo(jnp.result_type(float))
            if unit.min() < float_range.tiny or unit.max() > float_range.max:
                raise InputError(
                    f"expected standard deviations from {float_range.tiny:.2g} to {float_range.max:.2g}, which "
                    f"{float_range.dtype} can hold, got {unit.min():.2g} to {unit.max():.2g}; rescale the data"
                )
        return cls(shift, unit, math.prod(event_shape), event_shape=event_shape)

    def standardize(self, rows: Any) -> np.ndarray:
        """Rows on the host, in double precision."""
        return (np.asarray(rows, np.float64) - np.asarray(self.shift)) / np.asarray(self.unit)

    def _check(self, summary: Summary) -> None:
        pass

    def _prepare(self, rows: Any) -> Any:
        if any(isinstance(value, Tracer) for value in (rows, self.shift, self.unit)):
            # inside a compiled function, in what precision there is
            return as_float((jnp.asarray(rows) - self.shift) / self.unit)
        # In float32 a column such as 1e9 ± 1 would lose all its digits, so the difference is taken before.
        # Where the caller works in double precision on the device, it is kept.
        return self.standardize(rows).astype(jnp.result_type(float))

    def __call__(self, rows: Array, *, key: PRNGKeyArray | None) -> Array:
        return as_float(rows)

    def log_det(self) -> Array:
        return -jnp.log(jnp.asarray(self.unit)).mean() * self.size

    def restore(self, p: Distribution) -> Distribution:
        if isinstance(p, Independent):
            return type(p)(self.restore(p.base_dist), p.reinterpreted_batch_ndims)
        parameters: Any = {name: getattr(p, name) for name in p.arg_constraints}
        # a log-normal has a loc and a scale as well, which are not those of its values
        if not {"loc", "scale"} <= parameters.keys() or p.support is not constraints.real:
            raise TypeError(f"expected a location-scale family on the real line, got {type(p).__name__}")
        shift, unit = jnp.asarray(self.shift), jnp.asarray(self.unit)
        parameters |= {"loc": shift + unit * parameters["loc"], "scale": unit * parameters["scale"]}
        return type(p)(**parameters)


def _white(highest: float) -> str:
    """What a builder is told of values in [0, `highest`]; the command line reads it off the kind of data."""
    return f" (scale={highest:g})" if highest > 1 else ""


def as_float(x: Array) -> Array:
    """Floats as they are; whole numbers and truth values as floats of the default width."""
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.result_type(float))
