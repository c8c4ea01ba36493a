import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PRNGKeyArray

from varinf import data
from varinf._checks import at_least_one, prng_key, whole
from varinf._noise import key_words
from varinf._tree import per_row, trainable
from varinf.errors import InputError, NonFiniteError
from varinf.models import AbstractModel
from varinf.objectives import ELBO, AbstractObjective
from varinf.train._checkpoints import Checkpoints
from varinf.train._feed import Feed, Limit
from varinf.train._optimizer import make_optimizer
from varinf.train._per_row import check_rows
from varinf.train._progress import Progress
from varinf.train._step import Block, Outline, Problem, State, advance, copied, evaluate, outline
from varinf.train._told import told

_BATCH_SIZE = 128
_VALIDATION = 2**32 - 1  # folded into the key for validation; steps end below it


@dataclass(frozen=True)
class Fit:
    """What a fit came to.

    Attributes:
        model: the fitted model: the best one on the validation data where `patience` was given, else the last.
        history: metrics by name, one entry for each epoch, per datum in nats; those on the validation data begin
            with "validation_".
        steps: how many steps were made.
        stop_reason: in words.
        monte_carlo: the groups of latents whose KL was estimated from draws, for want of a closed form or on request.
    """

    model: Any
    history: dict[str, list[float]]
    steps: int
    stop_reason: str
    monte_carlo: tuple[str, ...]


class Boundary(NamedTuple):
    """What a callback is told between two compiled calls.

    Attributes:
        epoch: which epoch, from 0.
        epochs: how many there are to be, if nothing stops them.
        steps: how many steps have been made.
        total_steps: how many there are to make, if nothing stops them.
        metrics: of this epoch up to now; with those on the validation data at its end.
        epoch_done: whether the epoch ended.
        model: gives the model as it is now.
    """

    epoch: int
    epochs: int
    steps: int
    total_steps: int
    metrics: dict[str, float]
    epoch_done: bool
    model: Callable[[], Any]


def fit(
    model: AbstractModel,
    x: Any,
    *,
    validation: Any = None,
    objective: AbstractObjective | None = None,
    optimizer: optax.GradientTransformation | None = None,
    batch_size: int | None = None,
    epochs: int = 20,
    patience: int | None = None,
    checkpoints: str | Path | None = None,
    checkpoint_seconds: float = 5.0,
    callback: Callable[[Boundary], None] | None = None,
    max_resident_bytes: int = 1 << 29,
    summary: data.Summary | tuple[data.Summary, ...] | None = None,
    key: PRNGKeyArray,
) -> Fit:
    """Fit a model to data by stochastic gradients of an objective.

    Each epoch visits each row once, in an order that is a function of the key and the epoch; a short last batch is
    padded and masked. Nothing is held out unless `validation` is given.

    Args:
        model: what to fit; it is not changed.
        x: the rows: an array `[n, *event]`, a tuple of arrays, or any `varinf.data.Source`.
        validation: rows on which the bound is evaluated after each epoch; not with a per-datum posterior.
        objective: what to maximise; `ELBO()` if None.
        optimizer: an Optax optimiser, which is told the loss of the batch where it takes a `value`; Adam at the
            model's `learning_rate` if None (1e-3, and 1e-2 where weights have a posterior). One made by Optax compiles
            again for each new object, one by `varinf.train.make_optimizer` only for other names.
        batch_size: rows in a step; min(128, n) if None.
        epochs: passes over the data.
        patience: stop after so many epochs without a better bound on the validation data, and return the best model.
        checkpoints: a folder to keep states in. If it holds one of this same fit, the fit goes on from there, and
            ends in the same bits as if it had not been interrupted.
        checkpoint_seconds: how long to wait between two.
        callback: called between compiled calls, which are where progress can be shown.
        max_resident_bytes: data larger than this are not kept on the device but read in the background.
        summary: `varinf.data.summarize` of `x`, where the caller has it; it spares a pass over the data.
        key: for the order of the rows, the draws and the noise of the data.

    Raises:
        InputError: the data or the settings do not fit the model; the checkpoints are of another fit.
        NonFiniteError: the loss became infinite or not a number. The checkpoint before it is kept.
    """
    prng_key(key)
    objective = ELBO() if objective is None else objective
    if not isinstance(objective, AbstractObjective):
        raise InputError(f"objective must be one such as vi.ELBO(), got {objective!r}")
    optimizer = make_optimizer(learning_rate=model.learning_rate) if optimizer is None else optimizer
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise InputError(f"optimizer must be one of Optax's, such as optax.adam(1e-3), got {optimizer!r}")
    source, held_out = data.source(x), None if validation is None else data.source(validation)
    if patience is not None and held_out is None:
        raise InputError("patience needs validation data to watch; pass validation=")
    if patience is not None:
        at_least_one("patience", patience)
    if whole("epochs", epochs) < 0:
        raise InputError(f"epochs must not be negative, got {epochs}")
    summary = data.summarize(source) if summary is None else summary
    model.observation.check(summary)
    fingerprints = {"data": [part.fingerprint for part in jax.tree.leaves(summary)]}
    if held_out is not None:
        if held_out.spec != source.spec:
            raise InputError(f"the validation data have rows of {held_out.spec}, the training data of {source.spec}")
        held_out_summary = data.summarize(held_out)
        model.observation.check(held_out_summary)
        fingerprints["validation"] = [part.fingerprint for part in jax.tree.leaves(held_out_summary)]
        if per_row(model):
            raise InputError(
                "a per-datum posterior knows only the rows that it is fitted to, and no others that are held out as "
                "validation data; leave them out, and use vi.infer_local(vae, x) after the fit"
            )
    feed, validation_feed = _feeds(model, source, held_out, batch_size, max_resident_bytes)

    marks = trainable(model)
    params, fixed = eqx.partition(model, marks)
    num_data, num_batches = jnp.asarray(feed.num_rows), jnp.asarray(feed.num_batches)
    takes_loss = isinstance(optimizer, optax.GradientTransformationExtraArgs | optax.MultiSteps)
    problem = Problem(fixed, objective, optimizer.update, takes_loss, num_data, num_batches, key)
    # The steps use up the state they are given, so it is a copy: of the user's own arrays, and of those that an
    # optimiser may have put in twice (the parameters themselves, say).
    start = copied(State(params, optimizer.init(params), jnp.zeros((), jnp.int32)))
    check_rows(model, start.opt_state, feed.num_rows)

    outlined = outline(problem, next(_in_order(feed)), start)

    kept = None if checkpoints is None else Checkpoints(checkpoints)
    identity = {} if kept is None else _identity(problem, optimizer, fingerprints, feed.batch_size, start)
    progress = Progress(start, feed.num_batches, kept, checkpoint_seconds, patience, objective.bound, identity)
    progress.resume()

    def current() -> Any:
        return eqx.combine(copied(progress.state.params), fixed)

    def validate(state: State) -> dict[str, float]:
        return {} if validation_feed is None else _validate(problem, outlined, state, validation_feed)

    seed, limit, total = _seed(key), Limit(), epochs * feed.num_batches
    order = functools.lru_cache(1)(lambda epoch: data.order(seed, epoch, len(source)))
    # A call goes on through as many epochs as it has time for, unless something is to be done between them.
    stay = validation_feed is not None or callback is not None
    while (stop_reason := progress.stop_reason(progress.steps // feed.num_batches, epochs)) is None:
        epoch = progress.steps // feed.num_batches
        stop = (epoch + 1) * feed.num_batches if stay else total
        for block in feed.blocks(order, progress.steps, stop, limit):
            began = time.perf_counter()
            state, metrics = advance((problem, outlined, block), progress.state)
            count = int(block.count)
            metrics = {name: np.asarray(values)[:count] for name, values in metrics.items()}
            limit.learn(count, time.perf_counter() - began)
            _check_finite(metrics, progress.steps, feed.num_batches)
            progress.made(state, metrics, np.asarray(block.mask)[:count].sum(1), validate)
            if callback is not None:
                epoch_done = progress.steps % feed.num_batches == 0
                callback(Boundary(epoch, epochs, progress.steps, total, progress.shown(), epoch_done, current))
            progress.save_if_due()
    progress.check_finite()
    progress.save()
    best = progress.state.params if progress.best_params is None else progress.best_params
    return Fit(eqx.combine(best, fixed), progress.history, progress.steps, stop_reason, outlined.estimated)


def _feeds(
    model: AbstractModel,
    source: data.Source,
    held_out: data.Source | None,
    batch_size: int | None,
    most_bytes: int,
) -> tuple[Feed, Feed | None]:
    """The way of the training rows, and of the validation rows in batches of the same size."""
    if batch_size is not None and not 1 <= whole("batch_size", batch_size) <= len(source):
        raise InputError(f"batch_size must be from 1 to the number of rows, {len(source)}, got {batch_size}")
    # Where the user leaves it open, a small data set is one batch, padded, so that sets of about its size
    # share a compiled step.
    size, width = (min(_BATCH_SIZE, len(source)), _BATCH_SIZE) if batch_size is None else (batch_size, batch_size)
    feed = Feed(source, model.observation, size, width, most_bytes)
    return feed, None if held_out is None else Feed(held_out, model.observation, width, width, most_bytes)


def _identity(
    problem: Problem, optimizer: Any, fingerprints: dict[str, Any], batch_size: int, start: State
) -> dict[str, Any]:
    """What must be the same for a fit to go on from a checkpoint, as JSON has it."""

    def shape(array: Array) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(array.shape, array.dtype)

    # a learning rate, a schedule's length, ...: what an optimiser's state holds beside arrays like the parameters
    numbers = jax.tree.map(lambda array: shape(array) if array.ndim else array, start.opt_state)
    return {
        **fingerprints,
        "key": key_words(problem.key).tolist(),
        "batch_size": batch_size,
        "objective": told(problem.objective),
        "model": told(eqx.combine(jax.tree.map(shape, start.params), problem.fixed)),
        "optimizer": told((optimizer, numbers)),
    }


def _seed(key: PRNGKeyArray) -> int:
    """The order of the rows is drawn on the host; its seed is read off the key."""
    return int.from_bytes(key_words(key).tobytes()[-8:], "little")


def _in_order(feed: Feed) -> Iterator[Block]:
    """All rows once, as they come."""
    return feed.blocks(lambda _: np.arange(feed.num_rows), 0, feed.num_batches)


def _validate(problem: Problem, outlined: Outline, state: State, feed: Feed) -> dict[str, float]:
    """The objective's metrics over the validation rows, with the same draws each time."""
    problem = eqx.tree_at(lambda p: p.key, problem, jax.random.fold_in(problem.key, _VALIDATION))
    sums, rows = dict[str, float](), 0.0
    for block in _in_order(feed):
        weights = np.asarray(block.mask).sum(1)
        rows += weights.sum()
        for name, values in evaluate(problem, outlined, block, state.params, state.step).items():
            sums[name] = sums.get(name, 0.0) + float(np.asarray(values, np.float64) @ weights)
    return {name: total / rows for name, total in sums.items()}


def _check_finite(metrics: dict[str, np.ndarray], steps: int, num_batches: int) -> None:
    """Stop at a loss that is not finite, with its likely cause.

    Raises:
        NonFiniteError: with the number of the step.
    """
    bad = np.flatnonzero(~np.isfinite(metrics["loss"]))
    if not len(bad):
        return
    first, step = bad[0], steps + int(bad[0])
    parts = [name for name, values in metrics.items() if name != "loss" and not np.isfinite(values[first])]
    where = f"the loss became {metrics['loss'][first]} at step {step} (epoch {step // num_batches + 1})"
    if parts:
        where += f", with it {', '.join(parts)}"
    if step == 0:
        cause = "before any step was made: look for data outside the likelihood's support, or a network that overflows"
    elif np.isneginf(metrics.get("reconstruction", np.zeros(first + 1))[first]):
        cause = (
            "a datum got probability zero: the steps are likely too large (lower the learning rate, clip the "
            "gradients), or data lie outside the likelihood's support"
        )
    else:
        cause = "the steps are likely too large: lower the learning rate, clip the gradients, or warm up"
    raise NonFiniteError(f"{where}; {cause}", step)
