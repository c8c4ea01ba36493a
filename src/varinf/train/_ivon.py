"""Natural-gradient steps for mean-field posteriors over weights, as an Optax optimiser."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from varinf._checks import at_least_one
from varinf.errors import InputError
from varinf.posteriors import MeanFieldWeights
from varinf.train._optimizer import make_optimizer
from varinf.train._table import SCHEDULES


class _Numbers(NamedTuple):
    learning_rate: Float[Array, ""]
    momentum: Float[Array, ""]
    curvature_momentum: Float[Array, ""]
    num_data: Float[Array, ""]
    total: Float[Array, ""]


class _State(NamedTuple):
    count: Int[Array, ""]
    numbers: _Numbers
    average: PyTree
    rest: Any


def ivon(
    learning_rate: float = 0.1,
    *,
    num_data: int,
    momentum: float = 0.9,
    curvature_momentum: float = 0.9999,
    rest_learning_rate: float = 1e-3,
    schedule: str = "constant",
    total_steps: int = 0,
) -> optax.GradientTransformation:
    """Improved variational online Newton, for the weights of a `BayesianNetwork` with a mean-field posterior.

    The natural gradient of the bound: means step by their gradients times their variances, and variances follow the
    curvature that the gradients show. No step moves a mean by more than its standard deviation, since the curvature
    tells nothing of what is further away. A step costs about as much as one of Adam. All other parameters (point
    estimates, the noise of a likelihood) are left to Adam.

    Wide networks can predict best long before their variances are where the bound has its maximum, and the fit's elbo
    says how far they are from it: 784-400-400-10 on Fashion-MNIST (N(0, 0.2²), σ from 0.1, 20 epochs of batches of 128)
    has 89.4 % right, 0.291 nats and an ECE of 0.008 at a curvature momentum of 0.9998, with an elbo of -19.5; 89.1 %,
    0.303 and 0.016 at 0.9995, with -9.0; 82.5 %, 0.476 and 0.038 at 0.999, with -0.8.

    Source: Shen et al. 2024, algorithm 1, with the gradient of the KL inside the average of the gradients, and steps
    clipped in units of the standard deviation in the place of units of the weights.

    Args:
        learning_rate: of the means; of the order of 0.1.
        num_data: rows of the data.
        momentum: of the gradients.
        curvature_momentum: of the variances; nearer to 1 is slower and less noisy. Where the data tell nothing of a
            weight, ln σ rises by (1 - curvature_momentum) / 2 a step until it is the prior's.
        rest_learning_rate: Adam's.
        schedule: of both learning rates, as in `make_optimizer`.
        total_steps: length of the schedule.

    Raises:
        InputError: no data, or an unknown schedule. In `init`: a model without a mean-field posterior over weights.
    """
    SCHEDULES.check(schedule)
    at_least_one("num_data", num_data)
    rest = make_optimizer("adam", rest_learning_rate, schedule=schedule, total_steps=total_steps)

    def init(params: optax.Params) -> _State:
        if not any(map(_is_pair, jax.tree.leaves(params, is_leaf=_is_pair))):
            raise InputError(
                "ivon is for mean-field posteriors over weights, and the model has none; use a BayesianNetwork with "
                "posterior=MeanField(), or Adam"
            )
        values = (learning_rate, momentum, curvature_momentum, num_data, max(total_steps, 1))
        numbers = _Numbers(*(jnp.asarray(value, jnp.result_type(float)) for value in values))
        average = _over_pairs(lambda pair: jax.tree.map(jnp.zeros_like, pair.loc), params)
        return _State(jnp.zeros((), jnp.int32), numbers, average, rest.init(_without_pairs(params)))

    return optax.GradientTransformation(init, _update(rest.update, schedule))


@functools.cache
def _update(rest: Callable, schedule: str) -> Callable:
    share = SCHEDULES[schedule]

    def update(grads: PyTree, state: _State, params: PyTree) -> tuple[PyTree, _State]:
        count, numbers = state.count + 1, state.numbers
        rate = numbers.learning_rate * share(jnp.clip(state.count / numbers.total, 0, 1))
        unbiased = 1 - numbers.momentum ** count.astype(rate.dtype)

        def averaged(pair: MeanFieldWeights, average: PyTree) -> PyTree:
            return jax.tree.map(lambda g, a: numbers.momentum * a + (1 - numbers.momentum) * g, pair.loc, average)

        def step(average: Array, scale: Array) -> Array:
            natural = -rate / unbiased * numbers.num_data * jnp.square(scale) * average
            return jnp.clip(natural, -scale, scale)

        def narrow(grad: Array) -> Array:
            # N times the gradient by ln σ is how much more curvature there is than 1 / σ², as a share of that
            more = (1 - numbers.curvature_momentum) * numbers.num_data * grad
            # Not exp(more), of which this is the series: where it is noisy, that lets noise widen what it comes from,
            # and this narrows at either end. At a curvature momentum of 0.99 (784-400-400-10, Fashion-MNIST, 10
            # epochs) the elbo was -1.2, and -10.2 with exp(clip(more, -0.5, 3)).
            return -0.5 * jnp.log(1 + more + 0.5 * more**2)

        average = _over_pairs(averaged, grads, state.average)
        moves = _over_pairs(
            lambda pair, average, grad: MeanFieldWeights(
                jax.tree.map(step, average, pair.scale), jax.tree.map(narrow, grad.log_scale)
            ),
            params,
            average,
            grads,
        )
        others, rest_state = rest(_without_pairs(grads), state.rest, _without_pairs(params))
        updates = jax.tree.map(
            lambda move, other: move if _is_pair(move) else other,
            moves,
            others,
            is_leaf=lambda n: n is None or _is_pair(n),
        )
        return updates, _State(count, numbers, average, rest_state)

    return update


def _is_pair(node: Any) -> bool:
    return isinstance(node, MeanFieldWeights)


def _over_pairs(function: Callable, tree: PyTree, *others: PyTree) -> PyTree:
    """A function of each posterior over weights; None elsewhere."""
    return jax.tree.map(
        lambda node, *rest: function(node, *rest) if _is_pair(node) else None, tree, *others, is_leaf=_is_pair
    )


def _without_pairs(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda node: None if _is_pair(node) else node, tree, is_leaf=_is_pair)
