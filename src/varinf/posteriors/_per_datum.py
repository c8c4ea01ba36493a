from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PRNGKeyArray
from numpyro.distributions import Distribution

from varinf._checks import at_least_one
from varinf._tree import PerRow
from varinf.errors import InputError
from varinf.posteriors._family import AbstractFamily
from varinf.posteriors._mean_field import MeanField

_START_SCALE = 0.1


class PerDatum(eqx.Module):
    """q(z) of each datum, with parameters of its own: free numbers, where an encoder would read them off the datum.

    To be given to a model in the place of an encoder. A step of a fit changes the parameters of its batch's rows
    alone, an epoch thus each row's once: it takes more epochs, or larger steps, than with an encoder. The loss is a
    mean over the batch, so that the gradient of a row's parameters is 1 / batch_size of what it would be alone: Adam
    and its like do not mind, plain gradient descent does.

    Source: Hoffman, Blei, Wang and Paisley 2013, section 2 (local variational parameters).

    Args:
        num_data: the rows of the data.
        dim: numbers in a code.
        family: of what kind q is; `MeanField()` if None.

    Raises:
        InputError: no rows, or no numbers.
    """

    parameters: PerRow
    family: AbstractFamily

    def __init__(self, num_data: int, dim: int, family: AbstractFamily | None = None):
        self.family = MeanField() if family is None else family
        # Narrow: from draws as wide as the prior, which tell no row from another, a decoder learns to ignore them.
        start = self.family.standard(at_least_one("dim", dim), scale=_START_SCALE)
        self.parameters = PerRow(jnp.tile(start, (at_least_one("num_data", num_data), 1)))

    @classmethod
    def for_data(
        cls,
        dim: int,
        *,
        num_data: int | None,
        features: Callable,
        network: Callable[[int], Callable],
        key: PRNGKeyArray,
    ) -> "PerDatum":
        """The posterior of a model that is built for data. No network is made, and nothing drawn.

        Raises:
            InputError: no number of rows.
        """
        if num_data is None:
            raise InputError("a per-datum posterior has parameters for each row of the data; pass num_data=")
        return cls(num_data, dim)

    @property
    def num_data(self) -> int:
        """How many rows it was made for."""
        return len(self.parameters.array)

    def __call__(self, x: Float[Array, "..."]) -> Distribution:
        """q of the rows of a step's batch, which are the ones it holds then; at any other time, of none.

        Raises:
            InputError: outside of a step.
        """
        if not self.parameters.of_batch:
            raise InputError(
                "a per-datum posterior knows only the rows that it was fitted to, by number: vae.encoder.at(rows); "
                "for other rows use vi.infer_local(vae, x, start='prior')"
            )
        return self.family(self.parameters.array)

    def at(self, rows: Int[Array, "*batch"] | Any) -> Distribution:
        """q of the rows of these numbers, counted from 0 as they were given to the fit.

        Args:
            rows: row numbers, `[*batch]`.

        Raises:
            InputError: no such row.
        """
        if not isinstance(rows, Tracer):
            rows = np.asarray(rows)
            if rows.dtype.kind not in "iu":
                raise InputError(f"expected row numbers, got {rows.dtype} of shape {rows.shape}")
            if rows.size and not 0 <= rows.min() <= rows.max() < self.num_data:
                raise InputError(
                    f"expected row numbers from 0 to {self.num_data - 1}, got {rows.min()} to {rows.max()}"
                )
        return self.family(self.parameters.array[rows])
