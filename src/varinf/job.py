"""What a run does: open its data, build its model, fit it, evaluate it. Loads JAX."""

import inspect
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from varinf import data, models, objectives, train
from varinf._files import write_file
from varinf.choice import Choice
from varinf.config import Settings
from varinf.errors import InputError
from varinf.kinds import KINDS, AbstractKind, AbstractNetwork, RunData, Target, inputs, one_spec
from varinf.kinds import between as between
from varinf.kinds import codes as codes
from varinf.kinds import reconstructions as reconstructions
from varinf.kinds import samples as samples
from varinf.run import Run

_VALIDATION_ROWS = 10_000  # on which the bound is watched, of those held out
_EVALUATION_ROWS = 1000  # of a kind of model that names no number of its own
_EVALUATION_SAMPLES = 1000  # at most, behind the figures that a fit ends with
_CHECKPOINT_SECONDS = 2.0
_PREDICTED_ROWS = 4096  # at a time


class Outcome(NamedTuple):
    """A finished fit.

    Attributes:
        fit: the fitted model, and how it came to it.
        rows: what it was fitted to.
        seconds: that it took.
        remarks: what was said of the model.
    """

    fit: train.Fit
    rows: RunData
    seconds: float
    remarks: dict[str, str]


def open_data(settings: Settings) -> RunData:
    """The rows to train on and those held out: given apart, or as the data came, or split by seed.

    Raises:
        InputError: no such data, or damaged, or rows of different shapes.
    """
    given, column = settings.data, _label_column(settings)
    source = data.open(given.source, resize=given.resize, array=given.array, label=column)
    if given.test is not None:
        held_out = data.open(given.test, resize=given.resize, array=given.array, label=column)
    elif data.has_split(given.source, "test"):
        held_out = data.open(given.source, split="test", resize=given.resize, array=given.array)
    else:
        return RunData(*data.split(source, given.held_out, settings.train.seed), one_spec(source))
    spec = one_spec(source)
    check_rows(held_out, spec.shape, spec.columns, "the held-out rows")
    return RunData(source, held_out, spec)


def check_rows(source: data.Source, shape: tuple[int, ...], columns: tuple[str, ...] | None, what: str) -> None:
    """Refuse rows of another shape, or with other columns.

    Raises:
        InputError: what was expected, and what came.
    """
    spec = one_spec(source)
    if spec.shape != shape:
        raise InputError(f"{what}: expected rows of shape {shape}, as the model was fitted to, got {spec.shape}")
    if columns is None or spec.columns is None or columns == spec.columns:
        return
    place = next(i for i, (old, new) in enumerate(zip(columns, spec.columns, strict=True)) if old != new)
    raise InputError(
        f"{what}: expected the columns that the model was fitted to, in their order; "
        f"column {place} should be {columns[place]!r}, got {spec.columns[place]!r}"
    )


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
    began, settings, kind = time.monotonic(), run.settings, _kind(run)
    rows = kind.rows(open_data(settings), settings)
    summary, held_out_summary = _summaries(rows)
    choice = kind.choose(settings, rows, summary)
    for line in choice.spoken:
        say(line)
    build_key, fit_key, _, snapshot_key = _keys(settings)
    model = kind.build(choice, summary, key=build_key)
    model.observation.check(held_out_summary)
    remarks = kind.remarks(model, rows)
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
        validation=_some(rows.held_out, _VALIDATION_ROWS),
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


def results(run: Run, outcome: Outcome) -> dict[str, Any]:
    """The figures that a run ends with, as `Run.write_results` keeps them."""
    fit, rows = outcome.fit, outcome.rows
    found = _evaluation(
        _kind(run),
        fit.model,
        rows.held_out,
        rows.target,
        num_samples=min(_EVALUATION_SAMPLES, _kind(run).num_samples),
        key=evaluation_key(run.settings),
    )
    spec = rows.spec
    found["row"] = {"shape": spec.shape, "kind": spec.kind, "max_value": spec.max_value, "columns": spec.columns}
    if rows.target is not None:
        found["target"] = rows.target._asdict()
    if outcome.remarks:
        found["remarks"] = outcome.remarks
    return found | {
        "steps": fit.steps,
        "epochs": len(fit.history.get("elbo", [])),
        "stop_reason": fit.stop_reason,
        "monte_carlo_kl": list(fit.monte_carlo),
    }


def evaluation_key(settings: Settings) -> PRNGKeyArray:
    """The key of the draws that a run's own figures are worked out with."""
    return _keys(settings)[2]


def evaluation(
    run: Run,
    model: Any,
    where: str | None = None,
    array: str | None = None,
    *,
    num_samples: int | None = None,
    max_rows: int | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Figures about a finished run's model, per datum in nats.

    Args:
        run: a finished run.
        model: its model.
        where: a known name or a path; the rows that the run held out if None.
        array: of a .npz file; as in the run's settings if None.
        num_samples: draws behind each figure; the kind of model's own number if None.
        max_rows: how many rows to take, evenly spaced; likewise.
        seed: of the draws; those of the fit's own figures if None.

    Raises:
        InputError: no such data, or rows that will not do.
    """
    kind, target = _kind(run), _target(run)
    if where is None:
        opened, spec = open_data(run.settings), row_spec(run)
        check_rows(opened.held_out, spec.shape, spec.columns, "the held-out rows")
        rows = kind.rows(opened, run.settings).held_out
    else:
        rows = kind.rows_like(open_like(run, where, array), target)
    return _evaluation(
        kind,
        model,
        rows,
        target,
        num_samples=kind.num_samples if num_samples is None else num_samples,
        max_rows=max_rows,
        key=evaluation_key(run.settings) if seed is None else jax.random.key(seed),
    )


def predictions(
    run: Run, model: Any, source: data.Source, *, num_samples: int | None = None, key: PRNGKeyArray
) -> dict[str, np.ndarray]:
    """What a finished run's network predicts of rows of inputs: columns by name.

    Args:
        run: a finished run of a network.
        model: its model.
        source: the rows.
        num_samples: draws of the weights; the kind of model's own number if None.
        key: for the draws, which are the same for all rows.

    Raises:
        InputError: rows that the model cannot observe.
    """
    kind, target = cast(AbstractNetwork, _kind(run)), cast(Target, _target(run))
    model.observation.x.check(data.summarize(source))
    count = kind.num_samples if num_samples is None else num_samples
    parts = []
    for start in range(0, len(source), _PREDICTED_ROWS):
        rows = np.arange(start, min(start + _PREDICTED_ROWS, len(source)))
        parts.append(kind.predictions(model, inputs(data.Subset(source, rows)), target, num_samples=count, key=key))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def drawing(run: Run, outcome: Outcome) -> dict[str, Any]:
    """What `varinf.report.PICTURES` has to be told of a fit, but for the folder."""
    kind, rows = _kind(run), outcome.rows
    return kind.drawing(
        outcome.fit,
        evaluation_rows(rows.held_out, kind.max_rows),
        rows,
        snapshots(run),
        key=jax.random.key(run.settings.train.seed),
    )


def snapshots(run: Run) -> list[tuple[int, np.ndarray]]:
    """The samples taken in the course of a run's fit: epochs and images."""
    return [(int(path.stem.split("-")[1]), np.load(path)) for path in sorted(run.snapshots.glob("epoch-*.npy"))]


def load_model(run: Run) -> Any:
    """A finished run's model.

    Raises:
        InputError: the run did not come so far, or its model is damaged.
    """
    run.results()  # there is a model before there are results, but not one to be used yet
    return models.load(run.model)


def open_like(run: Run, where: str, array: str | None = None) -> data.Source:
    """Data of the kind that a run was fitted to, read with its settings.

    Args:
        run: a finished run.
        where: a known name or a path.
        array: of a .npz file; as in the run's settings if None.

    Raises:
        InputError: no such data, or rows of another shape.
    """
    given, column, path = run.settings.data, _label_column(run.settings), Path(where)
    if array is None and path.suffix.lower() == ".npz":
        array = given.array
    resize = given.resize if path.is_dir() else None
    try:
        source = data.open(where, resize=resize, array=array, label=column)
    except InputError:
        if column is None:
            raise
        # new rows need no labels; what else may be wrong is wrong again
        source = data.open(where, resize=resize, array=array)
    spec = row_spec(run)
    check_rows(source, spec.shape, spec.columns, where)
    return source


def row_spec(run: Run) -> data.Spec:
    """What a row is that a finished run's model makes: in stored units, as floats."""
    row = run.results()["row"]
    columns = None if row["columns"] is None else tuple(row["columns"])
    return data.Spec(tuple(row["shape"]), np.dtype(np.float32), row["kind"], row["max_value"], columns)


def first_rows(source: data.Source, most: int) -> data.Source:
    """The first rows, at most so many."""
    return data.Subset(source, np.arange(min(most, len(source))))


def evaluation_rows(source: data.Source, most: int | None = None) -> data.Source:
    """The held-out rows that a run is evaluated on and drawn with."""
    return _some(source, _EVALUATION_ROWS if most is None else most)


def _kind(run: Run) -> AbstractKind:
    return KINDS[run.settings.model.model]()


def _target(run: Run) -> Target | None:
    """What a finished run's network predicts."""
    kept = run.results().get("target")
    if kept is None:
        return None
    return Target(kept["name"], None if kept["classes"] is None else tuple(kept["classes"]), kept["num_rows"])


def _label_column(settings: Settings) -> str | None:
    return settings.data.label if settings.data.target is None else settings.data.target


def _evaluation(
    kind: AbstractKind,
    model: Any,
    rows: data.Source,
    target: Target | None,
    *,
    num_samples: int,
    max_rows: int | None = None,
    key: PRNGKeyArray,
) -> dict[str, Any]:
    some = evaluation_rows(rows, kind.max_rows if max_rows is None else max_rows)
    figures = kind.evaluation(model, some, target, num_samples=num_samples, key=key)
    return {"rows": len(some), "held_out_rows": len(rows)} | figures


def _keys(settings: Settings) -> Array:
    """For building, fitting, evaluating and snapshots."""
    return jax.random.split(jax.random.key(settings.train.seed), 4)


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


def _steps_per_epoch(choice: Choice, count: int) -> int:
    return -(-count // choice.batch_size)


def _some(source: data.Source, most: int) -> data.Source:
    """At most so many rows, evenly spaced."""
    if len(source) <= most:
        return source
    return data.Subset(source, np.linspace(0, len(source) - 1, most).astype(int))


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


def _write_snapshot(path: Path, made: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.save(buffer, made)
    write_file(path, buffer.getvalue())
