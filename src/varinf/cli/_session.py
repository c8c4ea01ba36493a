"""A fit on the command line: its run directory, its progress bar, its last words."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from varinf.cli._show import results_text, seconds_text
from varinf.config import make_settings
from varinf.data import known
from varinf.errors import InputError
from varinf.run import Run

if TYPE_CHECKING:
    from varinf.train import Boundary

_console = Console(soft_wrap=True, highlight=False)


def begin(options: dict[str, Any], settings: Path | None, out: Path | None, *, overwrite: bool) -> Run:
    """A new run with its settings on disk, before anything slow is loaded."""
    if options["variance"] is not None:
        with contextlib.suppress(ValueError):
            options["variance"] = float(options["variance"])
    made = make_settings(options, settings)
    places = {"source": made.data.source, "test": made.data.test}
    names = {data.name for data in known()}
    changed = {}
    for name, where in places.items():
        if where is None or where in names:
            continue
        if not Path(where).expanduser().exists():
            from varinf import data

            data.open(where)  # says what is wrong
        changed[name] = str(Path(where).expanduser().absolute())
    made = made.model_copy(update={"data": made.data.model_copy(update=changed)})
    return Run.create(out, made, overwrite=overwrite)


def carry_out(run: Run, *, new: bool) -> None:
    """Fit, evaluate, draw and print. A new run whose data or settings will not do leaves nothing behind."""
    if run.finished:
        _console.print(results_text(run.results() or {}))
        _console.print(f"This run has ended; it is in {run.path}")
        return
    began = time.monotonic()
    try:
        with _progress_bar() as progress:
            from varinf import job

            outcome = job.fit_run(run, say=lambda line: _console.print(f"chosen: {line}"), progress=progress)
    except InputError:
        if new and not run.checkpoints.exists():
            run.discard()
        raise
    _draw(run, outcome)
    outcome.results["seconds"] = time.monotonic() - began
    run.write_results(outcome.results)
    run.supersede()
    _console.print(results_text(outcome.results))
    _console.print(
        f"stopped            {outcome.results['stop_reason']}, {outcome.results['steps']:,} steps\n"
        f"time               {seconds_text(outcome.results['seconds'])}\n"
        f"run                {run.path}"
    )


def _draw(run: Run, outcome: Any) -> None:
    import jax

    from varinf import job, report

    rows = job.evaluation_rows(run)
    run.pictures.mkdir(exist_ok=True)
    spec = rows.spec
    report.write_pictures(
        outcome.model,
        rows.take(np.arange(len(rows))),
        history=outcome.history,
        folder=run.pictures,
        labels=getattr(rows, "labels", None),
        snapshots=job.snapshots(run),
        kind=spec.kind,
        columns=spec.columns,
        max_value=spec.max_value,
        key=jax.random.key(run.settings.train.seed),
    )


@contextlib.contextmanager
def _progress_bar() -> Iterator[Callable[["Boundary"], None]]:
    """A bar of epochs with the elbo and the time left; what it is told makes it move."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[elbo]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_console, transient=not _console.is_terminal) as bar:
        task = bar.add_task("loading", total=None, elbo="")

        def move(boundary: "Boundary") -> None:
            per_epoch = boundary.total_steps // boundary.epochs
            elbo = f"elbo {boundary.metrics['elbo']:.2f}"
            if "validation_elbo" in boundary.metrics:
                elbo += f", held out {boundary.metrics['validation_elbo']:.2f}"
            bar.update(
                task, description="epoch", total=boundary.epochs, completed=boundary.steps // per_epoch, elbo=elbo
            )

        yield move
