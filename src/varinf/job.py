"""What a run does: open its data, build its model, fit it, evaluate it. Loads JAX."""

import inspect
import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from varinf import data, evaluate, likelihoods, models, objectives, train
from varinf._files import write_file
from varinf.choice import Choice, choose
from varinf.config import Settings
from varinf.errors import InputError
from varinf.run import Run

_VALIDATION_ROWS = 10_000  # on which the bound is watched, of those held out
_EVALUATION_ROWS = 1000
_EVALUATION_SAMPLES = 1000
_CHECKPOINT_SECONDS = 2.0
_SNAPSHOTS = 10  # codes that are decoded in the course of a fit


class RunData(NamedTuple):
    """The rows of a run, and what a row is."""

    train: data.Source
    held_out: data.Source
    spec: data.Spec


class Outcome(NamedTuple):
    """A finished fit.

    Attributes:
        fit: the fitted model, and how it came to it.
        rows: what it was fitted to.
        seconds: that it took.
    """

    fit: train.Fit
    rows: RunData
    seconds: float


def open_data(settings: Settings) -> RunData:
    """The rows to train on and those held out: given apart, or as the data came, or split by seed.

    Raises:
        InputError: no such data, or damaged, or rows of different shapes.
    """
    given = settings.data
    source = data.open(given.source, resize=given.resize, array=given.array, label=given.label)
    if given.test is not None:
        held_out = data.open(given.test, resize=given.resize, array=given.array, label=given.label)
    elif data.has_split(given.source, "test"):
        held_out = data.open(given.source, split="test", resize=given.resize, array=given.array)
    else:
        return RunData(*data.split(source, given.held_out, settings.train.seed), one_spec(source))
    spec = one_spec(source)
    check_rows(held_out, spec.shape, spec.columns, "the held-out rows")
    return RunData(source, held_out, spec)


def one_spec(source: data.Source) -> data.Spec:
    """What a row is, of a source whose rows are single arrays, as all those that have a path are."""
    if isinstance(source.spec, tuple):
        raise InputError(f"expected rows of one array each, got {len(source.spec)} arrays")
    return source.spec


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
    began, settings = time.monotonic(), run.settings
    rows = open_data(settings)
    summary, held_out_summary = _summaries(rows)
    choice = choose(settings, rows.spec, summary)
    for line in choice.spoken:
        say(line)
    build_key, fit_key, _, snapshot_key = _keys(settings)
    model = models.VAE.build(**choice.model, summary=summary, key=build_key)
    model.observation.check(held_out_summary)
    codes = _prior_draws(model, _SNAPSHOTS, key=snapshot_key)

    def at_boundary(boundary: train.Boundary) -> None:
        progress(boundary)
        if not boundary.epoch_done:
            return
        run.log(boundary.epoch, boundary.steps, boundary.metrics)
        done = boundary.epoch + 1
        if done & (done - 1) == 0 or done == choice.epochs:
            _write_snapshot(run.snapshots / f"epoch-{done:06d}.npy", boundary.model(), codes)

    fit = train.fit(
        model,
        rows.train,
        validation=_some(rows.held_out, _VALIDATION_ROWS),
        objective=_objective(settings, choice, summary.count),
        optimizer=_optimizer(settings, choice, summary.count),
        batch_size=choice.batch_size,
        epochs=choice.epochs,
        patience=choice.patience,
        checkpoints=run.checkpoints,
        checkpoint_seconds=_CHECKPOINT_SECONDS,
        callback=at_boundary,
        summary=summary,
        key=fit_key,
    )
    run.write_history(fit.history, _steps_per_epoch(choice, summary.count))
    models.save(fit.model, run.model)
    return Outcome(fit, rows, time.monotonic() - began)


def results(run: Run, outcome: Outcome) -> dict[str, Any]:
    """The figures that a run ends with, as `Run.write_results` keeps them."""
    spec, fit = outcome.rows.spec, outcome.fit
    return evaluation(fit.model, outcome.rows.held_out, key=evaluation_key(run.settings)) | {
        "row": {"shape": spec.shape, "kind": spec.kind, "max_value": spec.max_value, "columns": spec.columns},
        "steps": fit.steps,
        "epochs": len(fit.history.get("elbo", [])),
        "stop_reason": fit.stop_reason,
        "monte_carlo_kl": list(fit.monte_carlo),
    }


def evaluation_key(settings: Settings) -> PRNGKeyArray:
    """The key of the draws that a run's own figures are worked out with."""
    return _keys(settings)[2]


def evaluation(
    model: models.VAE,
    rows: data.Source,
    *,
    num_samples: int = _EVALUATION_SAMPLES,
    max_rows: int = _EVALUATION_ROWS,
    key: PRNGKeyArray,
) -> dict[str, Any]:
    """Figures about a model on held-out rows, per datum in nats.

    Args:
        model: the model.
        rows: held-out rows, of which evenly spaced ones are taken.
        num_samples: importance samples for each row.
        max_rows: how many rows to take.
        key: for the draws.
    """
    check_rows(rows, evaluate.event_shape(model), None, "the rows to evaluate")
    some, likelihood = _some(rows, max_rows), _likelihood(model)
    # Side by side, since for small data most of the time goes into compiling them, on one core each.
    with ThreadPoolExecutor(2) as pool:
        bounding = pool.submit(evaluate.elbo, model, some, key=key)
        estimate = evaluate.log_likelihood(model, some, num_samples, key=key)
        bound = bounding.result()
    count = len(some)
    figures = {
        "rows": count,
        "held_out_rows": len(rows),
        "elbo": float(bound.elbo.mean()),
        "reconstruction": float(bound.reconstruction.mean()),
        "kl": float(bound.kl.mean()),
        "log_likelihood": float(estimate.value.mean()),
        # of the mean over rows: the rows' own spread, in which that of the draws is contained
        "log_likelihood_stderr": float(estimate.value.std(ddof=min(1, count - 1)) / count**0.5),
        "num_samples": num_samples,
        "is_log_likelihood": bool(likelihood.normalized),
    }
    if likelihood.discrete:
        figures["bits_per_dimension"] = float(-figures["elbo"] / (np.prod(evaluate.event_shape(model)) * np.log(2)))
    return figures


def snapshots(run: Run) -> list[tuple[int, np.ndarray]]:
    """The samples taken in the course of a run's fit: epochs and images."""
    return [(int(path.stem.split("-")[1]), np.load(path)) for path in sorted(run.snapshots.glob("epoch-*.npy"))]


def load_model(run: Run) -> models.VAE:
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
    given, path = run.settings.data, Path(where)
    if array is None and path.suffix.lower() == ".npz":
        array = given.array
    resize = given.resize if path.is_dir() else None
    try:
        source = data.open(where, resize=resize, array=array, label=given.label)
    except InputError:
        if given.label is None:
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


def evaluation_rows(source: data.Source) -> data.Source:
    """The held-out rows that a run is evaluated on and drawn with."""
    return _some(source, _EVALUATION_ROWS)


def codes(model: models.VAE, source: data.Source) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of q(z | x), `[n, dim]` each.

    Raises:
        InputError: rows that the model cannot observe.
    """
    model.observation.check(data.summarize(source))
    encoded = evaluate.encode(model, source)
    return encoded.means, encoded.stds


def reconstructions(model: models.VAE, source: data.Source) -> np.ndarray:
    """The decoder's means at the posterior means, `[n, *event]`.

    Raises:
        InputError: rows that the model cannot observe.
    """
    return evaluate.decode(model, codes(model, source)[0])


def between(model: models.VAE, source: data.Source, first: int, second: int, steps: int) -> np.ndarray:
    """The decoder's means on the line between the codes of two rows, `[steps, *event]`.

    Raises:
        InputError: no such row.
    """
    for row in (first, second):
        if not 0 <= row < len(source):
            raise InputError(f"expected row numbers from 0 to {len(source) - 1}, got {row}")
    (start, end), _ = codes(model, data.Subset(source, np.array([first, second])))
    share = np.linspace(0, 1, steps)[:, None]
    return evaluate.decode(model, (1 - share) * start + share * end)


def samples(model: models.VAE, num_samples: int, *, mean: bool, key: PRNGKeyArray) -> np.ndarray:
    """Draws from p(x), or the decoder's means at draws of z, `[num_samples, *event]`."""
    with jax.enable_x64(True):
        return np.asarray(model.sample(num_samples, key=key, mean=mean))


def _keys(settings: Settings) -> Array:
    """For building, fitting, evaluating and snapshots."""
    return jax.random.split(jax.random.key(settings.train.seed), 4)


def _summaries(rows: RunData) -> tuple[data.Summary, data.Summary]:
    """Summaries of the training and the held-out rows, so that every row has been read before anything is made."""
    train, held_out = rows.train, rows.held_out
    try:
        return cast(data.Summary, data.summarize(train)), cast(data.Summary, data.summarize(held_out))
    except InputError:
        # of a file that was split, what is wrong is said of the whole
        if isinstance(train, data.Subset) and isinstance(held_out, data.Subset) and train.source is held_out.source:
            data.summarize(train.source)
        raise


def _prior_draws(model: models.VAE, count: int, *, key: PRNGKeyArray) -> Array:
    return jnp.asarray(evaluate.prior_of(model).sample(key, (count,)))


def _likelihood(model: models.VAE) -> likelihoods.AbstractLikelihood:
    return cast(models.Decoder, model.decoder).likelihood


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
        given.learning_rate,
        schedule=given.schedule,
        total_steps=choice.epochs * per_epoch,
        warmup_steps=given.warmup_epochs * per_epoch,
        clip_norm=given.clip_norm,
    )


def _write_snapshot(path: Path, model: models.VAE, codes: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.save(buffer, evaluate.decode(model, codes))
    write_file(path, buffer.getvalue())
