"""The compiled part of a fit: many steps, or an evaluation of many batches, in one call."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from varinf._compiled import compiled, traced_once
from varinf.errors import InputError
from varinf.objectives import AbstractObjective, Batch, value_and_grad
from varinf.train._per_row import gathered, scattered, updated


class State(eqx.Module):
    """What a step changes.

    Attributes:
        params: the model's trained arrays, None elsewhere.
        opt_state: the optimiser's.
        step: how many steps were made.
    """

    params: PyTree
    opt_state: PyTree
    step: Int[Array, ""]


class Block(NamedTuple):
    """The rows of some steps, for one call. The first `count` of the batches are real.

    Attributes:
        data: prepared rows on the device, `[n, ...]`.
        positions: where in `data` the rows of each batch are.
        rows: their numbers in the source.
        mask: false where a row only fills up a short batch.
        count: how many batches there are.

    All but the data are on the host between calls: a call takes them along at less cost than one by one.
    """

    data: PyTree[Array]
    positions: Int[Array | np.ndarray, "batches batch"]
    rows: Int[Array | np.ndarray, "batches batch"]
    mask: Bool[Array | np.ndarray, "batches batch"]
    count: Int[Array | np.ndarray, ""]


class Problem(eqx.Module):
    """What stays the same from step to step: the rest of the model, the objective, the optimiser, N, the key.

    `takes_loss` is whether the optimiser is told the loss, `num_batches` how many batches an epoch has.
    """

    fixed: PyTree
    objective: AbstractObjective
    update: Callable
    takes_loss: bool
    num_data: Int[Array, ""]
    num_batches: Int[Array, ""]
    key: PRNGKeyArray


class Outline(NamedTuple):
    """What a fit will report.

    Attributes:
        metrics: the objective's, and of what type each is.
        estimated: the names of the latents whose KL is estimated from draws.
    """

    metrics: dict[str, np.dtype]
    estimated: tuple[str, ...]


def copied(tree: PyTree) -> PyTree:
    """The tree with arrays of its own, which steps may use up.

    They are of a definite type, as steps give back: one of JAX's weak type would make the second call compile again.
    """

    def copy(leaf: Any) -> Array:
        if isinstance(leaf, jax.Array) and not jax.typeof(leaf).weak_type:
            return jax.device_put(leaf, may_alias=False)  # which compiles nothing
        return jnp.array(leaf, dtype=leaf.dtype, copy=True)

    return jax.tree.map(copy, tree)


def one_batch(problem: Problem, block: Block, i: Array, step: Array, key: PRNGKeyArray) -> Batch:
    """Batch number `i` of a block, observed."""
    positions = block.positions[i]

    def gather(array: Array) -> Array:  # whole rows in one dimension, which XLA gathers twice as fast on a CPU
        return array.reshape(len(array), -1)[positions].reshape(len(positions), *array.shape[1:])

    rows = jax.tree.map(gather, block.data)
    observed = problem.fixed.observation(rows, key=key)
    return Batch(observed, block.rows[i], block.mask[i], problem.num_data, step)


def _no_line(*_: Any, **__: Any) -> Array:
    """What an optimiser calls for the loss at other parameters.

    Raises:
        InputError: always.
    """
    raise InputError(
        "the optimizer searches for the best step along a line, as L-BFGS does, which needs a loss without noise; that "
        "of a fit is of a batch and of draws: take one such as Adam"
    )


@traced_once
def _one_step(
    problem: Problem, block: Block, i: Array, state: State
) -> tuple[State, dict[str, Array], tuple[str, ...]]:
    """The state after one step, its metrics, and the names of the latents whose KL is estimated from draws."""
    observe_key, draw_key = jax.random.split(jax.random.fold_in(problem.key, state.step))
    batch = one_batch(problem, block, i, state.step, observe_key)
    old, fixed = gathered((state, problem.fixed), batch.rows)
    loss, metrics, grads, terms = value_and_grad(problem.objective, old.params, fixed, batch, key=draw_key)
    visits = state.step // problem.num_batches
    update = problem.update
    if problem.takes_loss:
        update = functools.partial(update, value=loss, grad=grads, value_fn=_no_line)
    updates, opt_state = updated(update, grads, old.opt_state, old.params, visits)
    params = optax.apply_updates(old.params, updates)
    estimated = tuple(latent.name for latent in terms.latents if latent.kl is None)
    return scattered(state, State(params, opt_state, state.step + 1), batch), metrics, estimated


@functools.partial(compiled, run=False)
def outline(problem: Problem, block: Block, state: State) -> Outline:
    """What a fit will report. A step is traced for it, and not once more when the program of many is."""
    _, metrics, estimated = _one_step(problem, block, jnp.zeros_like(block.count), state)
    return Outline({name: value.dtype for name, value in metrics.items()}, estimated)


def _no_metrics(outline: Outline, block: Block) -> dict[str, Float[Array, " batches"]]:
    """An empty row of each metric."""
    return {name: jnp.zeros(block.mask.shape[0], dtype) for name, dtype in outline.metrics.items()}


@functools.partial(compiled, donate_rest=True)
def advance(inputs: tuple[Problem, Outline, Block], state: State) -> tuple[State, dict[str, Float[Array, " batches"]]]:
    """Make `block.count` steps. The state given is used up.

    Returns:
        The state after them, and the metrics of each step, per datum in nats.
    """
    problem, outline, block = inputs

    def body(i: Array, carry: tuple) -> tuple:
        state, metrics = carry
        state, new, _ = _one_step(problem, block, i, state)
        return state, {name: metrics[name].at[i].set(value) for name, value in new.items()}

    first = jnp.zeros_like(block.count)  # of a definite type, as in `outline`
    return jax.lax.fori_loop(first, block.count, body, (state, _no_metrics(outline, block)))


@compiled
def evaluate(
    problem: Problem, outline: Outline, block: Block, params: PyTree, step: Array
) -> dict[str, Float[Array, " batches"]]:
    """The objective's metrics on `block.count` batches, per datum in nats, without a step.

    The draws of a batch depend on the problem's key and on the batch's first row alone, so that they are the same
    each time.
    """
    model, request = eqx.combine(params, problem.fixed), problem.objective.request

    def body(i: Array, metrics: dict) -> dict:
        observe_key, draw_key = jax.random.split(jax.random.fold_in(problem.key, block.rows[i, 0]))
        batch = one_batch(problem, block, i, step, observe_key)
        draw = model.draw(batch, request, key=draw_key)
        new = problem.objective.loss(model.score(batch, draw, request))[1]
        return {name: metrics[name].at[i].set(value) for name, value in new.items()}

    return jax.lax.fori_loop(0, block.count, body, _no_metrics(outline, block))
