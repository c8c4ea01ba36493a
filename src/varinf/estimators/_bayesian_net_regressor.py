from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import validate_data

from varinf._checks import number
from varinf.errors import InputError
from varinf.estimators._bayesian_net import BayesianNet
from varinf.estimators._defaults import (
    HIDDEN_LAYER_SIZES,
    LEARNING_RATE,
    LEARNING_RATE_INIT,
    PREDICTION_SAMPLES,
    REGRESSOR_STEPS,
)
from varinf.likelihoods import NUMBER_LIKELIHOOD, NUMBER_LIKELIHOODS
from varinf.models import predictive_draws


class BayesianNetRegressor(RegressorMixin, BayesianNet):
    """Bayesian neural network for numbers: predictions with standard deviations and intervals.

    A multi-layer perceptron gives the parameters of p(y | x, w). Its weights w have a normal prior p(w), and q(w),
    close to p(w | data), is fitted by stochastic gradients of the evidence lower bound, together with what the
    likelihood has to learn (the size of the noise). Predictions are averages over q, and their variance comes apart
    into noise and ignorance (`predict_uncertainty`). With `hidden_layer_sizes=()` and `likelihood='gaussian'` it is
    Bayesian linear regression.

    Columns of X are standardised inside, and those of y where they are real numbers; what comes out is in the units of
    `y`. Counts are not: their networks give the logarithm of the mean, less that of the data's mean.

    The defaults were chosen on four sets of the UCI repository, of 308 to 1599 rows (concrete, energy, wine, yacht).

    MLPRegressor's `alpha` is left out: the prior takes its place. A penalty on weights is a normal prior about zero,
    whose width is `prior_scale`, and it counts once for all the data, however many rows there are.

    Parameters
    ----------
    hidden_layer_sizes : int or tuple of int, default=(50,)
        Units of each hidden layer; () for a linear model.
    activation : str, default='relu'
        A name in `varinf.networks.ACTIVATIONS`.
    likelihood : str, default='heteroscedastic_student_t'
        p(y | x, w), a name in `varinf.likelihoods.NUMBER_LIKELIHOODS`. For real numbers: 'heteroscedastic_student_t',
        with noise whose size depends on x, and tails that are learned; 'heteroscedastic_gaussian', without tails;
        'student_t' and 'gaussian', with noise of one size for each output. For counts: 'poisson', and
        'negative_binomial' for those that scatter more.
    prior_scale : float, 'fan_in' or 'learned', default='fan_in'
        The standard deviation of p(w), which is normal about zero, for inputs and targets of variance one. 'fan_in':
        2 / sqrt(inputs of the layer), and 2 for biases. 'learned': one for each array, fitted with all else (empirical
        Bayes). A number suits one width: under 1, networks of 100 units, or of two layers, can lose what a few hundred
        rows say.
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
        Epochs: passes over the data. None: about 10,000 steps, in 20 to 2000 epochs.
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
    BayesianNetClassifier : The same for classes.
    sklearn.linear_model.BayesianRidge : The linear model, fitted exactly, with a prior scale that is learned.
    sklearn.neural_network.MLPRegressor : One network, without uncertainty about its weights.

    References
    ----------
    C. Blundell, J. Cornebise, K. Kavukcuoglu and D. Wierstra. Weight uncertainty in neural networks. ICML 2015.

    D. P. Kingma, T. Salimans and M. Welling. Variational dropout and the local reparameterization trick. NIPS 2015.

    S. Depeweg, J. M. Hernández-Lobato, F. Doshi-Velez and S. Udluft. Decomposition of uncertainty in Bayesian deep
    learning for efficient and risk-sensitive learning. ICML 2018 (`predict_uncertainty`).

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from varinf.estimators import BayesianNetRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = BayesianNetRegressor(random_state=0).fit(X, y)
    >>> mean, std = model.predict(X, return_std=True)
    >>> lower, upper = model.predict_interval(X, level=0.9)
    """

    _steps = REGRESSOR_STEPS

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = HIDDEN_LAYER_SIZES,
        activation: str = "relu",
        *,
        likelihood: str = NUMBER_LIKELIHOOD,
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
        self.likelihood = likelihood
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

    def fit(self, X: Any, y: Any) -> "BayesianNetRegressor":
        """Fit the posterior to rows and their targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            At least two rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)

        Returns
        -------
        self : BayesianNetRegressor
            The fitted estimator.

        Raises
        ------
        InputError
            Targets outside the likelihood's support; a parameter that cannot be. A ValueError.
        NonFiniteError
            The loss became infinite or not a number: lower `learning_rate_init`.
        """
        with self._whole_or_not_at_all():
            NUMBER_LIKELIHOODS.check(self.likelihood)
            X, y = validate_data(self, X, y, dtype="numeric", multi_output=True, y_numeric=True, ensure_min_samples=2)
            if y.ndim > 2:
                raise InputError(f"expected y of shape (n_samples,) or (n_samples, n_outputs), got {y.shape}")
            # one output is a number, however it came; predictions come as y did
            self._fit(X, y.ravel() if y.shape[1:] == (1,) else y, self.likelihood, None)
            self._target_shape = y.shape[1:]
        return self

    def predict(self, X: Any, return_std: bool = False) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """The mean of y for each row, in y's units, averaged over the posterior.

        It is fixed by the fit and the row, and does not depend on the rows beside it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        return_std : bool, default=False
            Whether to return the standard deviation of y as well: of noise and ignorance together.

        Returns
        -------
        mean : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        std : ndarray of the same shape
            With `return_std` only.
        """
        found = self._prediction(X)
        mean = self._as_given(found.mean)
        return (mean, self._as_given(np.sqrt(found.variance))) if return_std else mean

    def predict_interval(self, X: Any, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """Between what numbers y lies with a given probability, for each row and output by itself.

        They leave out as much on either side, and are quantiles of draws of y: 4000 or more,
        at `n_prediction_samples` draws of the weights.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        level : float, default=0.9
            The probability, in (0, 1).

        Returns
        -------
        lower : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        upper : ndarray of the same shape
        """
        if not 0 < number("level", level) < 1:
            raise InputError(f"level must be between 0 and 1, got {level}")
        X, tail = self._checked(X), (1 - level) / 2
        # a quantile of counts is one of them; the other kind is that of `evaluate.coverage`, which says why
        method = "inverted_cdf" if self.model_.likelihood.discrete else "weibull"
        parts = predictive_draws(self.model_, X, self.n_prediction_samples, key=self._predict_key())
        ends = [np.quantile(draws, (tail, 1 - tail), axis=0, method=method) for _, draws in parts]
        lower, upper = np.concatenate(ends, axis=1)
        return self._as_given(lower), self._as_given(upper)

    def _as_given(self, values: np.ndarray) -> np.ndarray:
        return values.reshape(len(values), *self._target_shape).astype(np.float64)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
