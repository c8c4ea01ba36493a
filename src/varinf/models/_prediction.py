"""What fitted Bayesian networks say of new rows: averages over draws of the weights, a block of rows at a time."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree
from numpyro.distributions import Independent

from varinf._checks import at_least_one
from varinf._compiled import compiled
from varinf.distributions import Categorical
from varinf.errors import InputError
from varinf.likelihoods import AbstractLikelihood, Bernoulli, Supervised
from varinf.likelihoods import Categorical as CategoricalLikelihood

_BLOCK = 1024  # rows; always, so that an answer has the same bits however many rows there are
_DRAWS = 4000  # of y for each row: the ends of 90 % intervals then differ by 1 to 2 % of their width from key to key
_CLASSES = (Bernoulli, CategoricalLikelihood)


class Predictive(Protocol):
    """One network, or several whose predictions are averaged."""

    @property
    def observation(self) -> Supervised:
        """How rows are observed."""
        ...

    @property
    def likelihood(self) -> AbstractLikelihood:
        """What outputs mean."""
        ...

    def of_draw(
        self, function: Callable[[Independent, Any], Any], rows: tuple[PyTree[Array], Any], *, key: PRNGKeyArray
    ) -> Any:
        """What a function makes of p(y | x, w), in the units of stored rows, and of y, at one draw of the weights of
        each network: arrays `[networks, ...]`.

        Args:
            function: of p and of y.
            rows: inputs as `observation` prepares them, and y as it is stored, or None.
            key: for the weights.
        """
        ...


class Prediction(NamedTuple):
    """What is expected of y, and how uncertain that is for which reason.

    Uncertainty is an entropy in nats for classes, a variance in the square of y's units for all else. Its total is
    that of the predictive distribution; the aleatoric part is what would be left if the weights were known (noise);
    the epistemic part is the rest (ignorance): the mutual information of y and the weights, or the variance of the
    mean of y.

    Source: Depeweg et al. 2018, equations 2 and 3 (entropies), and the law of total variance.

    Attributes:
        mean: E[y | x], `[n, *event]`; of classes their probabilities, `[n, classes]`.
        variance: of each component of y, or of each class's indicator; of the shape of `mean`.
        total: `[n, *event]`; of classes `[n]`.
        aleatoric: likewise.
        epistemic: likewise.
    """

    mean: np.ndarray
    variance: np.ndarray
    total: np.ndarray
    aleatoric: np.ndarray
    epistemic: np.ndarray


class _Average(NamedTuple):
    """Over the draws up to now.

    Attributes:
        count: of draws.
        mean: of E[y | x, w].
        square: the sum of its squared distances from the mean.
        inner: the mean of the variance, or of the entropy of classes, given the weights.
    """

    count: Float[Array, ""]
    mean: Float[Array, "..."]
    square: Float[Array, "..."]
    inner: Float[Array, "..."]


def predict(model: Predictive, x: Any, num_samples: int, *, key: PRNGKeyArray) -> Prediction:
    """The prediction for rows of inputs as they are stored, `[n, *inputs]`."""
    return Prediction(*_in_blocks(_predict, model, model.observation.x.prepare(x), num_samples, key))


def log_predictive(model: Predictive, x: Any, y: Any, num_samples: int, *, key: PRNGKeyArray) -> np.ndarray:
    """ln p(y | x), the logarithm of the mean of p(y | x, w) over draws of the weights, in nats, `[n]`.

    Args:
        model: one network, or an ensemble.
        x: inputs as they are stored, `[n, *inputs]`.
        y: targets as they are stored, `[n, *event]`.
        num_samples: draws of the weights, the same for all rows.
        key: for the draws.
    """
    rows = (model.observation.x.prepare(x), np.asarray(y))
    return _in_blocks(_log_predictive, model, rows, num_samples, key)[0]


def sample_predictive(
    model: Predictive, x: Any, num_samples: int, num_targets: int = 1, *, key: PRNGKeyArray
) -> np.ndarray:
    """Draws of y, `[draws, n, *event]`, with the same noise for all rows, so that a row's own do not depend on others.

    Args:
        model: one network, or an ensemble.
        x: inputs as they are stored, `[n, *inputs]`.
        num_samples: draws of the weights of each network, the same for all rows.
        num_targets: draws of y at each of them.
        key: for the draws.
    """
    at_least_one("num_targets", num_targets)
    sample = functools.partial(_sample, num_targets)
    return _in_blocks(sample, model, model.observation.x.prepare(x), num_samples, key)[0].swapaxes(0, 1)


def predictive_draws(
    model: Predictive, x: Any, num_samples: int, *, key: PRNGKeyArray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Draws of y that are enough for its quantiles, 4000 or more: which rows, and their draws, `[draws, part, *event]`.

    A part of the rows at a time, since the draws take thousands of times the room of what is made of them.

    Args:
        model: one network, or an ensemble.
        x: inputs as they are stored, `[n, *inputs]`.
        num_samples: draws of the weights of each network; the fewer, the more draws of y at each of them.
        key: for the draws.
    """
    num_targets = -(-_DRAWS // at_least_one("num_samples", num_samples))
    for start in range(0, len(x), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(x)))
        yield rows, sample_predictive(model, x[rows], num_samples, num_targets, key=key)


def _in_blocks(function: Callable, model: Any, rows: PyTree[Any], num_samples: int, key: PRNGKeyArray) -> list:
    """A compiled function of all rows, `[n, ...]`, worked out a block at a time with the same draws for each."""
    at_least_one("num_samples", num_samples)
    count = len(jax.tree.leaves(rows)[0])
    if not count:
        raise InputError("expected at least one row to predict, got none")
    found = []
    with jax.enable_x64(True):  # for what is in the user's units; networks compute in the type of their weights
        for start in range(0, count, _BLOCK):
            numbers = np.minimum(np.arange(start, start + _BLOCK), count - 1)
            block = jax.tree.map(lambda array, numbers=numbers: np.asarray(array)[numbers], rows)
            parts = function(model, block, num_samples, key)
            found.append([np.asarray(part)[: count - start] for part in parts])
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


@compiled
def _predict(model: Predictive, rows: Array, num_samples: int, key: PRNGKeyArray) -> tuple[Array, ...]:
    of_classes = isinstance(model.likelihood, _CLASSES)

    def of_draw(key: PRNGKeyArray) -> tuple[Array, Array]:
        return model.of_draw(lambda p, _: _mean_and_inner(p, of_classes), (rows, None), key=key)

    def add(average: _Average, key: PRNGKeyArray) -> tuple[_Average, None]:
        means, inner = (part.astype(float) for part in of_draw(key))
        return _merged(average, means, inner), None

    mean, inner = (jnp.zeros(part.shape[1:], float) for part in jax.eval_shape(of_draw, key))
    start = _Average(jnp.zeros((), float), mean, mean, inner)
    average, _ = jax.lax.scan(add, start, jax.random.split(key, num_samples))
    if of_classes:
        mean, total = average.mean, _entropy(average.mean)
        if isinstance(model.likelihood, Bernoulli):
            mean = mean[..., 1]  # of a one
        return mean, mean * (1 - mean), total, average.inner, jnp.maximum(total - average.inner, 0)
    between = average.square / average.count
    return average.mean, average.inner + between, average.inner + between, average.inner, between


@compiled
def _log_predictive(model: Predictive, rows: PyTree[Array], num_samples: int, key: PRNGKeyArray) -> tuple[Array]:
    def of_draw(_: None, key: PRNGKeyArray) -> tuple[None, Array]:
        return None, model.of_draw(lambda p, y: p.log_prob(y), rows, key=key)

    _, log_probs = jax.lax.scan(of_draw, None, jax.random.split(key, num_samples))
    log_probs = log_probs.reshape(-1, log_probs.shape[-1])
    return (jax.nn.logsumexp(log_probs, axis=0) - jnp.log(len(log_probs)),)


@compiled
def _sample(num_targets: int, model: Predictive, rows: Array, num_samples: int, key: PRNGKeyArray) -> tuple[Array]:
    def of_draw(_: None, key: PRNGKeyArray) -> tuple[None, Array]:
        weights_key, y_key = jax.random.split(key)

        def of_row(row: Array) -> Array:
            # by itself, with the same key, so that its noise does not depend on its place
            drawn = model.of_draw(lambda p, _: p.sample(y_key, (num_targets,)), (row[None], None), key=weights_key)
            return drawn.reshape(-1, *drawn.shape[3:])  # of [networks, targets, 1, *event]

        return None, jax.vmap(of_row)(rows)

    _, drawn = jax.lax.scan(of_draw, None, jax.random.split(key, num_samples))  # [samples, rows, of each, *event]
    return (drawn.swapaxes(0, 1).reshape(len(rows), -1, *drawn.shape[3:]),)


def _mean_and_inner(p: Independent, of_classes: bool) -> tuple[Array, Array]:
    """Of one draw: the mean of y and its variance; of classes, all their probabilities and their entropy."""
    if not of_classes:
        return p.mean, p.variance
    base: Any = p.base_dist
    probs = (
        jax.nn.softmax(base.logits) if isinstance(base, Categorical) else jnp.stack([1 - base.probs, base.probs], -1)
    )
    return probs, _entropy(probs)


def _merged(average: _Average, means: Float[Array, "new ..."], inner: Float[Array, "new ..."]) -> _Average:
    """An average with new draws (Chan, Golub and LeVeque 1983, equation 2.1)."""
    new, mean = len(means), means.mean(0)
    count = average.count + new
    shift = mean - average.mean
    square = average.square + ((means - mean) ** 2).sum(0) + shift**2 * average.count * new / count
    return _Average(
        count, average.mean + shift * new / count, square, average.inner + (inner.mean(0) - average.inner) * new / count
    )


def _entropy(p: Float[Array, "... classes"]) -> Float[Array, "..."]:
    return -jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1)), 0).sum(-1)
