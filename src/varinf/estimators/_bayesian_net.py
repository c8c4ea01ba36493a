from typing import Any, ClassVar, NamedTuple, cast

import jax
import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from varinf._checks import at_least_one
from varinf.data import ArraySource, Summary, summarize
from varinf.estimators._defaults import BATCH_SIZE, EPOCHS
from varinf.estimators._training import SEEDS, TrainedEstimator
from varinf.models import BayesianNetwork, Ensemble, Prediction
from varinf.objectives import ELBO


class Uncertainty(NamedTuple):
    """How uncertain predictions are, and why: entropies in nats of classes, variances of all else.

    Attributes:
        total: of the prediction.
        aleatoric: the noise, which would be left if the weights were known.
        epistemic: the rest, which more data would take away.
    """

    total: np.ndarray
    aleatoric: np.ndarray
    epistemic: np.ndarray


class BayesianNet(TrainedEstimator):
    """What the classifier and the regressor share; their parameters are described there."""

    _steps: ClassVar[int]  # of a fit where `max_iter` is None, about

    activation: str
    prior_scale: float | str
    posterior: str
    estimator: str
    n_members: int
    n_prediction_samples: int
    max_iter: int | None
    random_state: int | np.random.RandomState | None

    def predict_uncertainty(self, X: Any) -> Uncertainty:
        """How uncertain the predictions are, and how much of that is noise and how much is ignorance.

        Entropies in nats for a classifier (`epistemic` is the mutual information of label and weights), variances in
        the square of y's units for a regressor (`epistemic` is the variance of the mean).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        uncertainty : Uncertainty
            `total`, `aleatoric` and `epistemic`, which add up; each an ndarray of shape (n_samples,), or
            (n_samples, n_outputs).
        """
        found = self._prediction(X)
        return Uncertainty(found.total, found.aleatoric, found.epistemic)

    def _fit(self, X: np.ndarray, y: np.ndarray, likelihood: str, num_values: int | None) -> None:
        """Fit a network to checked inputs, and targets as the likelihood has them."""
        self._check_training()
        at_least_one("n_members", self.n_members)
        at_least_one("n_prediction_samples", self.n_prediction_samples)
        if self.max_iter is not None:
            at_least_one("max_iter", self.max_iter)
        random = check_random_state(self.random_state)
        build_seed, fit_seed, predict_seed = random.randint(SEEDS, size=3).tolist()
        rows, held_out = self._split((X, y), random)
        summary = cast(tuple[Summary, Summary], summarize(ArraySource(rows)))
        self._train(
            self._build(X.shape[1:], y.shape[1:], likelihood, num_values, summary, build_seed),
            rows,
            held_out,
            objective=ELBO(),
            epochs=self._epochs(len(rows[0])),
            summary=summary,
            key=jax.random.key(fit_seed),
        )
        self._predict_seed = predict_seed

    def _build(
        self,
        event_shape: tuple[int, ...],
        target_shape: tuple[int, ...],
        likelihood: str,
        num_values: int | None,
        summary: tuple[Summary, Summary],
        seed: int,
    ) -> BayesianNetwork | Ensemble:
        settings = {
            "event_shape": event_shape,
            "target_shape": target_shape,
            "hidden": self._hidden(),
            "activation": self.activation,
            "likelihood": likelihood,
            "num_values": num_values,
            "prior_scale": self.prior_scale,
            "posterior": self.posterior,
            "estimator": self.estimator,
            "summary": summary,
            "key": jax.random.key(seed),
        }
        if self.n_members == 1:
            return BayesianNetwork.build(**settings)
        return Ensemble.build(num_members=self.n_members, **settings)

    def _auto_batch_size(self, n_rows: int) -> int:
        return BATCH_SIZE

    def _epochs(self, n_rows: int) -> int:
        if self.max_iter is not None:
            return int(self.max_iter)
        fewest, most = EPOCHS
        return min(max(fewest, round(self._steps / -(-n_rows // self._batch_size(n_rows)))), most)

    def _prediction(self, X: Any) -> Prediction:
        X = self._checked(X)
        found = self.model_.predict(X, self.n_prediction_samples, key=self._predict_key())
        return Prediction(*(part.astype(np.float64) for part in found))

    def _checked(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return cast(np.ndarray, validate_data(self, X, dtype="numeric", reset=False))

    def _predict_key(self) -> jax.Array:
        return jax.random.key(self._predict_seed)
