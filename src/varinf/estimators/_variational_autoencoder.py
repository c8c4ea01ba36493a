from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from varinf._tree import named_arrays
from varinf.data import ArraySource, summarize
from varinf.estimators import _blocks
from varinf.models import VAE, from_arrays
from varinf.objectives import ELBO
from varinf.train import Boundary, fit, make_optimizer

_FLOATS = (np.float64, np.float32)


class VariationalAutoencoder(TransformerMixin, ClassNamePrefixFeaturesOutMixin, BaseEstimator):
    """..."""

    def __init__(
        self,
        n_components: int | None = 2,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        likelihood: str = "gaussian",
        posterior: str = "mean_field",
        scale: float = 1.0,
        binarize: str | None = None,
        variance: str | float | None = None,
        num_values: int | None = None,
        num_samples: int = 1,
        beta: float = 1.0,
        solver: str = "adam",
        learning_rate: str = "cosine",
        learning_rate_init: float = 1e-3,
        batch_size: int | str = "auto",
        max_iter: int = 200,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        n_likelihood_samples: int = 100,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ):
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.likelihood = likelihood
        self.posterior = posterior
        self.scale = scale
        self.binarize = binarize
        self.variance = variance
        self.num_values = num_values
        self.num_samples = num_samples
        self.beta = beta
        self.solver = solver
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.n_likelihood_samples = n_likelihood_samples
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> "VariationalAutoencoder":
        """Fit the model to X by stochastic gradients of the evidence lower bound."""
        X = validate_data(self, X, dtype="numeric", ensure_min_samples=2)
        random = check_random_state(self.random_state)
        build_seed, fit_seed, self._score_seed = random.randint(np.iinfo(np.int32).max, size=3).tolist()
        X, held_out = self._split(X, random)
        n_rows, n_features = X.shape
        hidden = self.hidden_layer_sizes
        model = VAE.build(
            event_shape=(n_features,),
            latent_dim=n_features if self.n_components is None else self.n_components,
            hidden=tuple(hidden) if isinstance(hidden, Sequence | np.ndarray) else (hidden,),
            activation=self.activation,
            likelihood=self.likelihood,
            posterior=self.posterior,
            scale=self.scale,
            binarize=self.binarize,
            variance=self.variance,
            num_values=self.num_values,
            summary=summarize(ArraySource(X)),
            key=jax.random.key(build_seed),
        )
        batch_size = min(128 if self.batch_size == "auto" else self.batch_size, n_rows)
        optimizer = make_optimizer(
            self.solver,
            self.learning_rate_init,
            schedule=self.learning_rate,
            total_steps=self.max_iter * -(-n_rows // batch_size),
        )
        done = fit(
            model,
            X,
            validation=held_out,
            objective=ELBO(self.num_samples, self.beta),
            optimizer=optimizer,
            batch_size=None if self.batch_size == "auto" else batch_size,
            epochs=self.max_iter,
            patience=self.n_iter_no_change if self.early_stopping else None,
            callback=_show if self.verbose else None,
            key=jax.random.key(fit_seed),
        )
        self.model_ = done.model
        self.history_ = done.history
        self.loss_curve_ = done.history["loss"]
        self.validation_scores_ = done.history.get("validation_elbo")
        self.n_iter_ = len(self.loss_curve_)
        return self

    def transform(self, X: Any) -> np.ndarray:
        X = self._rows(X)
        return _blocks.posterior_mean(self.model_, X).astype(_float_of(X))

    def inverse_transform(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = check_array(X, dtype=_FLOATS)
        return _blocks.decoder_mean(self.model_, X).astype(X.dtype)

    def sample(self, n_samples: int = 1) -> np.ndarray:
        check_is_fitted(self)
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        return _blocks.samples(self.model_, n_samples, key=jax.random.key(seed)).astype(np.float64)

    def score_samples(self, X: Any) -> np.ndarray:
        X = self._rows(X)
        key = jax.random.key(self._score_seed)
        return _blocks.log_likelihood(self.model_, X, self.n_likelihood_samples, key=key).astype(np.float64)

    def score(self, X: Any, y: Any = None) -> float:
        return float(self.score_samples(X).mean())

    @property
    def _n_features_out(self) -> int:
        return self.n_features_in_ if self.n_components is None else self.n_components

    def _split(self, X, random):
        if not self.early_stopping:
            return X, None
        n_held_out = max(1, round(self.validation_fraction * len(X)))
        order = random.permutation(len(X))
        return X[order[n_held_out:]], X[order[:n_held_out]]

    def _rows(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, dtype="numeric", reset=False)
        self.model_.observation.check(summarize(ArraySource(X)))
        return X

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if "model_" not in state:
            return state
        return state | {"model_": {"recipe": self.model_.recipe, "arrays": named_arrays(self.model_)}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "model_" in state:
            state = state | {"model_": from_arrays(**state["model_"])}
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _float_of(X):
    return X.dtype if X.dtype in _FLOATS else np.dtype(np.float64)


def _show(at: Boundary) -> None:
    if at.epoch_done:
        print(f"Iteration {at.epoch + 1}, " + ", ".join(f"{name} = {value:.4f}" for name, value in at.metrics.items()))
