from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import PRNGKeyArray

from varinf import data, evaluate, models
from varinf.choice import Choice, choose_network
from varinf.config import Settings
from varinf.errors import InputError
from varinf.kinds._kind import RunData, Target
from varinf.kinds._network import AbstractNetwork, pairs
from varinf.train import Fit

_LEVEL = 0.9  # of the interval that is told of
_LEVELS = tuple(float(level) for level in np.arange(1, 20) / 20)  # that are drawn


class Regressor(AbstractNetwork):
    """A Bayesian network that predicts a number."""

    num_samples: ClassVar[int] = 400

    def classes(self, labels: np.ndarray, what: str) -> None:
        self._numbers(labels, what)

    def encoded(self, labels: np.ndarray, target: Target, what: str) -> np.ndarray:
        return self._numbers(labels, what)

    def choose(self, settings: Settings, rows: RunData, summary: Any) -> Choice:
        return choose_network(settings, rows.spec, summary[0], None)

    def figures(
        self, model: models.BayesianNetwork, x: np.ndarray, y: np.ndarray, *, num_samples: int, key: PRNGKeyArray
    ) -> dict[str, Any]:
        prediction = model.predict(x, num_samples, key=key)
        found = _coverage(model, x, y, (_LEVEL,), num_samples, key)
        return {
            "nll": -float(models.log_predictive(model, x, y, num_samples, key=key).mean()),
            "rmse": float(np.sqrt(np.mean((prediction.mean - y) ** 2))),
            "crps": found.crps,
            "level": _LEVEL,
            "coverage": float(found.observed[0]),
            "interval_width": float(found.width[0]),
            "aleatoric_std": float(np.sqrt(prediction.aleatoric.mean())),
            "epistemic_std": float(np.sqrt(prediction.epistemic.mean())),
        }

    def drawing(
        self,
        fit: Fit,
        source: data.Source,
        rows: RunData,
        snapshots: Sequence[tuple[int, np.ndarray]],
        *,
        key: PRNGKeyArray,
    ) -> dict[str, Any]:
        x, y = pairs(source)
        return {
            "prediction": fit.model.predict(x, self.num_samples, key=key),
            "coverage": _coverage(fit.model, x, y, _LEVELS, self.num_samples, key),
            "x": x,
            "y": y,
            "target": "" if rows.target is None else rows.target.name,
            "history": fit.history,
            "max_value": rows.spec.max_value,
        }

    def predictions(
        self, model: models.BayesianNetwork, x: np.ndarray, target: Target, *, num_samples: int, key: PRNGKeyArray
    ) -> dict[str, np.ndarray]:
        found = model.predict(x, num_samples, key=key)
        tails = [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]
        parts = models.predictive_draws(model, x, num_samples, key=key)
        # the quantiles that `evaluate.coverage` scores
        ends = [np.quantile(draws, tails, axis=0, method="weibull") for _, draws in parts]
        lower, upper = np.concatenate(ends, axis=1)
        return {
            "mean": found.mean,
            "std": np.sqrt(found.total),
            f"lower_{100 * _LEVEL:g}": lower,
            f"upper_{100 * _LEVEL:g}": upper,
            "aleatoric_std": np.sqrt(found.aleatoric),
            "epistemic_std": np.sqrt(found.epistemic),
        }

    def _numbers(self, labels: np.ndarray, what: str) -> np.ndarray:
        if labels.dtype.kind in "US":
            raise InputError(
                f"{what}: expected numbers, got words ({str(labels[0])[:40]!r}, for example); predict classes with "
                "--model classifier"
            )
        return labels.astype(np.float64)


def _coverage(
    model: models.BayesianNetwork,
    x: np.ndarray,
    y: np.ndarray,
    levels: Sequence[float],
    num_samples: int,
    key: PRNGKeyArray,
) -> evaluate.Coverage:
    """The scores of a model's intervals over all rows."""
    parts = [
        evaluate.coverage(draws, y[rows], levels)
        for rows, draws in models.predictive_draws(model, x, num_samples, key=key)
    ]
    counts = [part.num_rows for part in parts]
    observed, width, crps = (
        np.average([getattr(part, name) for part in parts], axis=0, weights=counts)
        for name in ("observed", "width", "crps")
    )
    return evaluate.Coverage(np.asarray(levels), observed, width, float(crps), sum(counts))
