from typing import Any

import jax
from jaxtyping import Array, PRNGKeyArray, PyTree
from numpyro.distributions import Distribution

from varinf.data import Summary
from varinf.errors import InputError
from varinf.likelihoods._observation import AbstractObservation, AsGiven


class Supervised(AbstractObservation):
    """Rows that are a pair (x, y), observed each in its own way; a density is over y alone.

    Args:
        x: how inputs are observed.
        y: how targets are.
    """

    x: AbstractObservation = AsGiven()
    y: AbstractObservation = AsGiven()

    def _check(self, summary: Summary | tuple[Summary, ...]) -> None:
        if not isinstance(summary, tuple) or len(summary) != 2:
            came = f"{len(summary)} arrays" if isinstance(summary, tuple) else "one array"
            raise InputError(f"expected rows (x, y), inputs and their targets, got {came}; pass a tuple of the two")
        self.x.check(summary[0])
        self.y.check(summary[1])

    def _prepare(self, rows: Any) -> Any:
        x, y = rows
        return self.x.prepare(x), self.y.prepare(y)

    def __call__(self, rows: PyTree[Array], *, key: PRNGKeyArray | None) -> PyTree[Array]:
        x, y = rows
        x_key, y_key = (None, None) if key is None else jax.random.split(key)
        return self.x(x, key=x_key), self.y(y, key=y_key)

    def log_det(self) -> Array:
        return self.y.log_det()

    def restore(self, p: Distribution) -> Distribution:
        return self.y.restore(p)
