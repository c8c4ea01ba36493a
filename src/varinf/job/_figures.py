"""What is found of a run's fitted model, and what it makes."""

from typing import Any, cast

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from varinf import data, models
from varinf._files import DamagedFileError
from varinf.config import Settings
from varinf.errors import InputError
from varinf.job._common import keys, kind_of
from varinf.job._fit import Outcome
from varinf.job._rows import check_rows, evaluation_rows, open_data, open_like, row_spec
from varinf.kinds import AbstractKind, AbstractNetwork, Target, inputs
from varinf.run import Run

_EVALUATION_SAMPLES = 1000  # at most, behind the figures that a fit ends with
_PREDICTED_ROWS = 4096  # at a time


def results(run: Run, outcome: Outcome) -> dict[str, Any]:
    """The figures that a run ends with, as `Run.write_results` keeps them."""
    kind, fit, rows = kind_of(run), outcome.fit, outcome.rows
    found = _evaluation(
        kind,
        fit.model,
        rows.held_out,
        rows.target,
        num_samples=min(_EVALUATION_SAMPLES, kind.num_samples),
        key=evaluation_key(run.settings),
    )
    found["fingerprint"] = _fingerprint(kind, rows.held_out)
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
    }


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
        where: a known name or a path, of which the test rows are taken where it has some of its own; the rows that
            the run held out if None.
        array: of a .npz file; as in the run's settings if None.
        num_samples: draws behind each figure; the kind of model's own number if None.
        max_rows: how many rows to take, evenly spaced; likewise.
        seed: of the draws; those of the fit's own figures if None.

    Raises:
        InputError: no such data, or rows that will not do.
    """
    kind, target = kind_of(run), _target(run)
    if where is None:
        opened, spec = open_data(run.settings), row_spec(run)
        check_rows(opened.held_out, spec.shape, spec.columns, "the held-out rows")
        rows = kind.rows(opened, run.settings).held_out
        _check_unchanged(run, kind, rows)
    else:
        rows = kind.rows_like(open_like(run, where, array, held_out=True), target)
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
    kind, target = cast(AbstractNetwork, kind_of(run)), cast(Target, _target(run))
    model.observation.x.check(data.summarize(source))
    count = kind.num_samples if num_samples is None else num_samples
    parts = []
    for start in range(0, len(source), _PREDICTED_ROWS):
        rows = np.arange(start, min(start + _PREDICTED_ROWS, len(source)))
        parts.append(kind.predictions(model, inputs(data.Subset(source, rows)), target, num_samples=count, key=key))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def drawing(run: Run, outcome: Outcome) -> dict[str, Any]:
    """What `varinf.report.PICTURES` has to be told of a fit, but for the folder."""
    kind, rows = kind_of(run), outcome.rows
    return kind.drawing(
        outcome.fit,
        evaluation_rows(rows.held_out, kind.max_rows),
        rows,
        snapshots(run),
        key=evaluation_key(run.settings),
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
    try:
        return models.load(run.model)
    except DamagedFileError as error:
        error.add_note(f"varinf fit --resume {run.path} makes it anew")
        raise


def evaluation_key(settings: Settings) -> PRNGKeyArray:
    """The key of the draws behind a run's own figures and pictures."""
    return keys(settings)[2]


def _fingerprint(kind: AbstractKind, held_out: data.Source) -> list[str]:
    """Of the held-out rows that a run is evaluated on: to read all of them can take long."""
    summary = data.summarize(evaluation_rows(held_out, kind.max_rows))
    return [part.fingerprint for part in jax.tree.leaves(summary)]


def _check_unchanged(run: Run, kind: AbstractKind, held_out: data.Source) -> None:
    """Refuse rows other than those that a finished run held out, since it may have been trained on them.

    Raises:
        InputError: the data changed since the fit.
    """
    kept = run.results()
    expected = kept.get("fingerprint")  # none of runs that are older than it
    if expected is None or (kept["held_out_rows"], expected) == (len(held_out), _fingerprint(kind, held_out)):
        return
    raise InputError(
        f"{run.settings.data.test or run.settings.data.source}: expected the {kept['held_out_rows']} rows that the run "
        f"held out, got {len(held_out)} rows that are not those: the data changed since the fit; bring them back, or "
        f"name rows that were not trained on: varinf evaluate {run.path} DATA"
    )


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


def _target(run: Run) -> Target | None:
    """What a finished run's network predicts."""
    kept = run.results().get("target")
    if kept is None:
        return None
    return Target(kept["name"], None if kept["classes"] is None else tuple(kept["classes"]), kept["num_rows"])
