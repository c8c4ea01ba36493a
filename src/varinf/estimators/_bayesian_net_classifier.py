from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from varinf.errors import InputError
from varinf.estimators._bayesian_net import BayesianNet
from varinf.estimators._defaults import (
    CLASSIFIER_STEPS,
    HIDDEN_LAYER_SIZES,
    LEARNING_RATE,
    LEARNING_RATE_INIT,
    PREDICTION_SAMPLES,
)


class BayesianNetClassifier(ClassifierMixin, BayesianNet):
    """Bayesian neural network for classes: probabilities that know what the data leave open.

    A multi-layer perceptron gives the logits of the classes. Its weights w have a normal prior p(w), and q(w), close to
    p(w | data), is fitted by stochastic gradients of the evidence lower bound. Predictions are averages over q, and
    come apart into noise and ignorance (`predict_uncertainty`). Columns of X are standardised inside.

    MLPClassifier's `alpha` is left out: the prior takes its place. A penalty on weights is a normal prior about zero,
    whose width is `prior_scale`, and it counts once for all the data, however many rows there are.

    Parameters
    ----------
    hidden_layer_sizes : int or tuple of int, default=(50,)
        Units of each hidden layer; () for a linear model.
    activation : str, default='relu'
        A name in `varinf.networks.ACTIVATIONS`.
    prior_scale : float, 'fan_in' or 'learned', default='fan_in'
        The standard deviation of p(w), which is normal about zero, for inputs of variance one. 'fan_in':
        4 / sqrt(inputs of the layer), and 4 for biases. 'learned': one for each array, fitted with all else (empirical
        Bayes). A number suits one width: under 1, the more units there are the less is left of what the data say.
    posterior : {'mean_field', 'low_rank', 'last_layer'}, default='mean_field'
        q(w): independent normals; a normal with a covariance of low rank plus a diagonal one; or, of the last layer
        alone, a normal with a full covariance, where all other weights are point estimates, without a prior.
    estimator : {'auto', 'weights', 'local', 'flipout'}, default='auto'
        How a step sees random weights, as in `varinf.BayesianNetwork`: one draw for the batch; outputs of layers drawn
        in their place, apart for each row; or one draw with random signs for each row. 'auto' takes the least noisy.
    n_members : int, default=1
        Networks that are fitted side by side, from different starts, and whose predictions are averaged.
    n_prediction_samples : int, default=100
        Draws of the weights of each network, over which predictions are averaged.
    solver : str, default='adam'
        A name in `varinf.train.OPTIMIZERS`.
    learning_rate : {'constant', 'cosine', 'linear', 'exponential'}, default='cosine'
        How the learning rate goes down from `learning_rate_init` over `max_iter` epochs.
    learning_rate_init : float, default=0.01
        The learning rate at the start.
    batch_size : int or 'auto', default='auto'
        Rows in a step; no more than there are. 'auto': 64.
    max_iter : int or None, default=None
        Epochs: passes over the data. None: about 5000 steps, in 20 to 2000 epochs.
    early_stopping : bool, default=False
        Whether to hold rows out, stop when the bound on them has not risen for `n_iter_no_change` epochs, and keep
        the best model.
    validation_fraction : float, default=0.1
        Share of the rows held out for early stopping.
    n_iter_no_change : int, default=10
        Epochs that early stopping waits.
    random_state : int, RandomState instance or None, default=None
        For the initial weights, the order of the rows, the draws, and the rows held out.
    verbose : bool, default=False
        Whether to print the progress of each epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, in the order of the columns of `predict_proba`.
    model_ : varinf.BayesianNetwork or varinf.Ensemble
        The fitted model.
    n_iter_ : int
        Epochs that were made.
    loss_ : float
        The loss in the last epoch, minus the evidence lower bound, in nats per row.
    loss_curve_ : list of float
        The loss in each epoch, in nats per row.
    validation_scores_ : list of float or None
        With early stopping, the evidence lower bound on the rows held out, after each epoch, in nats per row.
    history_ : dict of str to list of float
        All metrics by name, one entry for each epoch, in nats per row.
    n_features_in_ : int
        Features seen in `fit`.
    feature_names_in_ : ndarray of str of shape (n_features_in_,)
        Their names, where X has names that are strings.

    See Also
    --------
    BayesianNetRegressor : The same for numbers.
    sklearn.neural_network.MLPClassifier : One network, without uncertainty about its weights.

    References
    ----------
    C. Blundell, J. Cornebise, K. Kavukcuoglu and D. Wierstra. Weight uncertainty in neural networks. ICML 2015.

    D. P. Kingma, T. Salimans and M. Welling. Variational dropout and the local reparameterization trick. NIPS 2015.

    S. Depeweg, J. M. Hernández-Lobato, F. Doshi-Velez and S. Udluft. Decomposition of uncertainty in Bayesian deep
    learning for efficient and risk-sensitive learning. ICML 2018 (`predict_uncertainty`).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from varinf.estimators import BayesianNetClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = BayesianNetClassifier(random_state=0).fit(X, y)
    >>> model.predict_proba(X).shape
    (150, 3)
    >>> total, aleatoric, epistemic = model.predict_uncertainty(X)
    """

    _steps = CLASSIFIER_STEPS

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = HIDDEN_LAYER_SIZES,
        activation: str = "relu",
        *,
        prior_scale: float | str = "fan_in",
        posterior: str = "mean_field",
        estimator: str = "auto",
        n_members: int = 1,
        n_prediction_samples: int = PREDICTION_SAMPLES,
        solver: str = "adam",
        learning_rate: str = LEARNING_RATE,
        learning_rate_init: float = LEARNING_RATE_INIT,
        batch_size: int | str = "auto",
        max_iter: int | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.prior_scale = prior_scale
        self.posterior = posterior
        self.estimator = estimator
        self.n_members = n_members
        self.n_prediction_samples = n_prediction_samples
        self.solver = solver
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> "BayesianNetClassifier":
        """Fit the posterior to labelled rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels, numbers or strings: of at least two classes.

        Returns
        -------
        self : BayesianNetClassifier
            The fitted estimator.

        Raises
        ------
        InputError
            Labels that are missing, or all the same; a parameter that cannot be. A ValueError.
        NonFiniteError
            The loss became infinite or not a number: lower `learning_rate_init`.
        """
        with self._whole_or_not_at_all():
            X, y = validate_data(self, X, y, dtype="numeric")
            self.classes_, codes = _classes(y)
            self._fit(X, codes, "categorical", len(self.classes_))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, averaged over the posterior.

        It is fixed by the fit and the row, and does not depend on the rows beside it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
        """
        means = self._prediction(X).mean
        return means / means.sum(1, keepdims=True)  # single precision leaves a rest

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,)
        """
        most_probable = self.predict_proba(X).argmax(1)
        return self.classes_[most_probable]


def _classes(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The labels that there are, and the number of each row's.

    Raises:
        InputError: labels that are missing, of different kinds, or all the same.
    """
    missing = np.flatnonzero([label is None for label in y])
    if len(missing):
        raise InputError(
            f"expected a label for each row, got None in {len(missing)}, the first in row {missing[0]} (counted "
            "from 0); leave such rows out"
        )
    try:
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
    except TypeError:
        kinds = ", ".join(sorted({type(label).__name__ for label in y}))
        raise InputError(f"expected labels of one kind, got {kinds}; make all of them strings") from None
    if len(classes) < 2:
        raise InputError(f"expected labels of at least two classes, got one class, {classes.tolist()[0]!r}")
    return classes, codes
