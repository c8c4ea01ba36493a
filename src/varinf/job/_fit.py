"""From a run's settings to its fitted model."""

import inspect
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from varinf import data, models, objectives, train
from varinf._files import write_file
from varinf.choice import Choice
from varinf.config import ObjectiveSettings, Settings
from varinf.errors import InputError
from varinf.job._common import keys, kind_of
from varinf.job._rows import evenly_spaced, open_data
from varinf.kinds import RunData
from varinf.run import Run

_VALIDATION_ROWS = 10_000  # on which the bound is watched, of those held out
_CHECKPOINT_SECONDS = 2.0


class Outcome(NamedTuple):
    """A finished fit.

    Attributes:
        fit: the fitted model, and how it came to it.
        rows: what it was fitted to.
        seconds: that it took.
        remarks: what was said of the model and the objective.
    """

    fit: train.Fit
    rows: RunData
    seconds: float
    remarks: dict[str, str]


def fit_run(run: Run, *, say: Callable[[str], None], progress: Callable[[train.Boundary], None]) -> Outcome:
    """Fit a run's model, from its newest checkpoint if there is one.

    Args:
        run: the run; checkpoints, metrics, snapshots and model are written to it.
        say: is told what was chosen, a line each.
        progress: is told of each boundary between compiled calls.

    Raises:
        InputError: the data or the settings will not do.
        NonFiniteError: the loss became infinite or not a number.
    """
    began, settings, kind = time.monotonic(), run.settings, kind_of(run)
    rows = kind.rows(open_data(settings), settings)
    summary, held_out_summary = _summaries(rows)
    choice = kind.choose(settings, rows, summary)
    for line in choice.spoken:
        say(line)
    build_key, fit_key, _, snapshot_key = keys(settings)
    model = kind.build(choice, summary, key=build_key)
    model.observation.check(summary)
    try:
        model.observation.check(held_out_summary)
    except InputError as error:
        raise InputError(f"the held-out rows: {error}") from None
    remarks = kind.remarks(model, rows) | _tempered(settings.objective)
    for about, text in remarks.items():
        say(f"{about} {text}")
    snapshot, count = kind.snapshot(model, key=snapshot_key), len(rows.train)

    def at_boundary(boundary: train.Boundary) -> None:
        progress(boundary)
        if not boundary.epoch_done:
            return
        run.log(boundary.epoch, boundary.steps, boundary.metrics)
        done = boundary.epoch + 1
        if snapshot is not None and (done & (done - 1) == 0 or done == choice.epochs):
            _write_snapshot(run.snapshots / f"epoch-{done:06d}.npy", snapshot(boundary.model()))

    fit = train.fit(
        model,
        rows.train,
        validation=evenly_spaced(rows.held_out, _VALIDATION_ROWS),
        objective=_objective(settings, choice, count),
        optimizer=_optimizer(settings, choice, count),
        batch_size=choice.batch_size,
        epochs=choice.epochs,
        patience=choice.patience,
        checkpoints=run.checkpoints,
        checkpoint_seconds=_CHECKPOINT_SECONDS,
        callback=at_boundary,
        summary=summary,
        key=fit_key,
    )
    run.write_history(fit.history, _steps_per_epoch(choice, count))
    models.save(fit.model, run.model)
    return Outcome(fit, rows, time.monotonic() - began, remarks)


def _summaries(rows: RunData) -> tuple[Any, Any]:
    """Summaries of the training and the held-out rows, so that every row has been read before anything is made."""
    train, held_out = rows.train, rows.held_out
    try:
        return data.summarize(train), data.summarize(held_out)
    except InputError:
        # of a file that was split, what is wrong is said of the whole
        if isinstance(train, data.Subset) and isinstance(held_out, data.Subset) and train.source is held_out.source:
            data.summarize(train.source)
        raise


def _objective(settings: Settings, choice: Choice, count: int) -> objectives.AbstractObjective:
    given = settings.objective
    options = given.model_dump(exclude={"objective"}, exclude_none=True)
    for name, value in options.items():
        takers = _takers("beta" if name == "beta_warmup" else name)
        if given.objective not in takers and value != type(given).model_fields[name].default:
            raise InputError(
                f"--{name.replace('_', '-')} is for the {' or '.join(takers)}, and the objective is {given.objective}; "
                "leave it out"
            )
    if given.beta_warmup:
        options["beta"] = objectives.LinearWarmup(given.beta, given.beta_warmup * _steps_per_epoch(choice, count))
    taken = {name: value for name, value in options.items() if given.objective in _takers(name)}
    return objectives.OBJECTIVES[given.objective](**taken)


def _tempered(objective: ObjectiveSettings) -> dict[str, str]:
    """What is to be said of a KL that is not in the loss as it is in the elbo."""
    said = {}
    if objective.beta != 1:
        said["KL"] = f"weighted by {objective.beta:g} in the loss (tempered), by 1 in the elbo"
    if objective.beta_warmup:
        said["beta warm-up"] = f"the KL's weight in the loss rises from 0 over the first {objective.beta_warmup} epochs"
    if objective.free_bits:
        said["free bits"] = f"a part of a code's KL below {objective.free_bits:g} nats counts as that in the loss"
    return said


def _takers(option: str) -> list[str]:
    """The names of the objectives that have an option."""
    return [name for name, cls in objectives.OBJECTIVES.items() if option in inspect.signature(cls).parameters]


def _optimizer(settings: Settings, choice: Choice, count: int) -> Any:
    given, per_epoch = settings.train, _steps_per_epoch(choice, count)
    return train.make_optimizer(
        given.optimizer,
        choice.learning_rate,
        schedule=given.schedule,
        total_steps=choice.epochs * per_epoch,
        warmup_steps=given.warmup_epochs * per_epoch,
        clip_norm=given.clip_norm,
    )


def _steps_per_epoch(choice: Choice, count: int) -> int:
    return -(-count // choice.batch_size)


def _write_snapshot(path: Path, made: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.save(buffer, made)
    write_file(path, buffer.getvalue())
