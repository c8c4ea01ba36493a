import math
from collections.abc import Sequence
from typing import Any, cast

import jax
import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from varinf import evaluate
from varinf._checks import at_least_one, number
from varinf.data import ArraySource, Summary, summarize
from varinf.errors import InputError
from varinf.estimators import _blocks
from varinf.estimators._training import SEEDS, TrainedEstimator
from varinf.models import VAE
from varinf.objectives import ELBO
from varinf.posteriors import POSTERIORS

_FLOATS = (np.float64, np.float32)


class VariationalAutoencoder(TransformerMixin, ClassNamePrefixFeaturesOutMixin, TrainedEstimator):
    """Variational auto-encoder: a short code for each row, by a nonlinear factor analysis.

    The model is z ~ N(0, I) and x ~ p(x | z), whose parameters a network, the decoder, reads off z. A second one, the
    encoder, gives q(z | x), a normal distribution close to p(z | x). Both are fitted by stochastic gradients of the
    evidence lower bound on ln p(x). With `hidden_layer_sizes=()` and the Gaussian likelihood it is factor analysis.

    Columns are standardised inside, where the likelihood is Gaussian; what comes out is in the units of `X`, or under a
    Bernoulli likelihood, continuous or not, in those of `X / scale`, from 0 to 1.

    Parameters
    ----------
    n_components : int or None, default=2
        Numbers in a code; as many as there are features if None. May be more.
    hidden_layer_sizes : int or tuple of int, default=(100,)
        Units of each hidden layer of the encoder; the decoder has them in reverse.
    activation : str, default='relu'
        A name in `varinf.networks.ACTIVATIONS`.
    likelihood : str, default='gaussian'
        p(x | z) for each feature, a name in `varinf.likelihoods.LIKELIHOODS`: 'bernoulli' for zeros and ones,
        'poisson' for counts, ...
    posterior : str, default='mean_field'
        q(z | x), a name in `varinf.posteriors.POSTERIORS`: a normal with a diagonal or a full covariance ('full_rank'),
        a normalising flow ('flow'), ...
    scale : float, default=1.0
        The value that stands for white, where features are pixels: 16 for scikit-learn's digits, 255 for 8-bit
        images. Used by likelihoods of values in [0, scale].
    binarize : {'dynamic', 'threshold', 'none'} or None, default=None
        How grey pixels become zeros and ones for the Bernoulli likelihood: drawn anew at each visit with probability
        x / scale, cut at half of `scale`, or not at all (the score is then no log-likelihood). None: X holds zeros
        and ones.
    variance : {'per_dimension', 'shared'}, float or None, default=None
        Of the Gaussian likelihood: learned for each feature, learned for all together, or known, in the square of
        X's units. None: for each feature.
    num_values : int or None, default=None
        How many values the likelihoods of whole numbers allow, 0 to num_values − 1; read off X if None.
    num_samples : int, default=1
        Draws of z for each row and step.
    beta : float, default=1.0
        Weight of KL[q(z | x) || p(z)] in the loss (Higgins et al. 2017).
    solver : str, default='adam'
        A name in `varinf.train.OPTIMIZERS`.
    learning_rate : {'constant', 'cosine', 'linear', 'exponential'}, default='cosine'
        How the learning rate goes down from `learning_rate_init` over `max_iter` epochs.
    learning_rate_init : float, default=5e-3
        The learning rate at the start.
    batch_size : int or 'auto', default='auto'
        Rows in a step; no more than there are. 'auto': 32 below 2048 rows, 64 below 4096, then 128.
    max_iter : int, default=200
        Epochs: passes over the data.
    early_stopping : bool, default=False
        Whether to hold rows out, stop when the bound on them has not risen for `n_iter_no_change` epochs, and keep
        the best model.
    validation_fraction : float, default=0.1
        Share of the rows held out for early stopping.
    n_iter_no_change : int, default=10
        Epochs that early stopping waits.
    n_likelihood_samples : int, default=100
        Draws of z for each row in `score_samples`. The estimate is too low on average, by less the more there are.
    random_state : int, RandomState instance or None, default=None
        For the initial weights, the order of the rows, the draws, and the rows held out.
    verbose : bool, default=False
        Whether to print the progress of each epoch.

    Attributes
    ----------
    model_ : varinf.VAE
        The fitted model.
    n_components_ : int
        Numbers in a code.
    n_iter_ : int
        Epochs that were made.
    loss_ : float
        The loss in the last epoch, in nats per row.
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
    sklearn.decomposition.FactorAnalysis : The linear model, fitted exactly.

    References
    ----------
    D. P. Kingma and M. Welling. Auto-encoding variational Bayes. ICLR 2014.

    D. J. Rezende, S. Mohamed and D. Wierstra. Stochastic backpropagation and approximate inference in deep
    generative models. ICML 2014.

    Y. Burda, R. Grosse and R. Salakhutdinov. Importance weighted autoencoders. ICLR 2016 (`score_samples`).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from varinf.estimators import VariationalAutoencoder
    >>> X = load_iris().data
    >>> model = VariationalAutoencoder(n_components=2, random_state=0).fit(X)
    >>> model.transform(X).shape
    (150, 2)
    """

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
        learning_rate_init: float = 5e-3,
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
        """Fit the model to X by stochastic gradients of the evidence lower bound.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data: at least two rows.
        y : Ignored

        Returns
        -------
        self : VariationalAutoencoder
            The fitted estimator.

        Raises
        ------
        InputError
            Values outside the likelihood's support; a parameter that cannot be. A ValueError.
        NonFiniteError
            The loss became infinite or not a number: lower `learning_rate_init`.
        """
        with self._whole_or_not_at_all():
            X = validate_data(self, X, dtype="numeric", ensure_min_samples=2)
            self._check()
            random = check_random_state(self.random_state)
            build_seed, fit_seed, score_seed = random.randint(SEEDS, size=3).tolist()
            rows, held_out = self._split(X, random)
            n_components = X.shape[1] if self.n_components is None else int(self.n_components)
            summary = _summary(rows)
            self._train(
                self._build(rows, n_components, summary, build_seed),
                rows,
                held_out,
                objective=ELBO(self.num_samples, self.beta),
                epochs=self.max_iter,
                summary=summary,
                key=jax.random.key(fit_seed),
            )
            self.n_components_ = n_components
            self._score_seed = score_seed
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The codes of rows: the mean of q(z | x).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components_)
        """
        X = self._checked(X)
        return evaluate.encode(self.model_, X).means.astype(_float_type(X))

    def inverse_transform(self, X: Any) -> np.ndarray:
        """The rows that codes stand for: the mean of p(x | z).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components_)

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features_in_)
        """
        check_is_fitted(self)
        X = check_array(X, dtype=_FLOATS)  # pyright: ignore[reportArgumentType]
        if X.shape[1] != self.n_components_:
            raise InputError(f"expected codes of {self.n_components_} numbers, got {X.shape[1]}")
        return evaluate.decode(self.model_, X).astype(X.dtype)

    def sample(self, n_samples: int = 1) -> np.ndarray:
        """Draw rows from p(x): the same ones at each call where `random_state` is a number.

        Parameters
        ----------
        n_samples : int, default=1

        Returns
        -------
        X : ndarray of shape (n_samples, n_features_in_)
        """
        check_is_fitted(self)
        at_least_one("n_samples", n_samples)
        seed = check_random_state(self.random_state).randint(SEEDS)
        return _blocks.samples(self.model_, n_samples, key=jax.random.key(seed)).astype(np.float64)

    def score_samples(self, X: Any) -> np.ndarray:
        """ln p(x) of each row, in nats, by importance sampling from q(z | x).

        It is a density by the units of what comes out, or a probability (of one binarisation, for pixels). It is
        fixed by the fit and the row, and does not depend on the rows beside it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
        """
        X = self._checked(X)
        key = jax.random.key(self._score_seed)
        return _blocks.log_likelihood(self.model_, X, self.n_likelihood_samples, key=key).astype(np.float64)

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of ln p(x) over rows, in nats.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored

        Returns
        -------
        log_likelihood : float
        """
        return float(self.score_samples(X).mean())

    def _check(self) -> None:
        """Refuse parameters that no one further in would refuse in these names."""
        POSTERIORS.check(self.posterior)  # not one for each row of X alone: other rows are to be encoded
        at_least_one("max_iter", self.max_iter)
        at_least_one("n_likelihood_samples", self.n_likelihood_samples)
        at_least_one("num_samples", self.num_samples)
        if not 0 <= number("beta", self.beta) < math.inf:
            raise InputError(f"beta must be finite and not negative, got {self.beta}")
        self._check_training()
        if self.n_components is not None:
            at_least_one("n_components", self.n_components)

    def _auto_batch_size(self, n_rows: int) -> int:
        return 32 if n_rows < 2048 else 64 if n_rows < 4096 else 128

    def _build(self, rows: np.ndarray, n_components: int, summary: Summary, seed: int) -> VAE:
        return VAE.build(
            event_shape=rows.shape[1:],
            latent_dim=n_components,
            hidden=self._hidden(),
            activation=self.activation,
            likelihood=self.likelihood,
            posterior=self.posterior,
            scale=float(self.scale),
            binarize=self.binarize,
            variance=self.variance,
            num_values=self.num_values,
            summary=summary,
            key=jax.random.key(seed),
        )

    def _checked(self, X: Any) -> np.ndarray:
        """X as an array, if the fitted model can observe it."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype="numeric", reset=False)
        self.model_.observation.check(_summary(X))
        return X

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _summary(X: np.ndarray) -> Summary:
    return cast(Summary, summarize(ArraySource(X)))


def _float_type(X: np.ndarray) -> np.dtype:
    return X.dtype if X.dtype in _FLOATS else np.dtype(np.float64)
