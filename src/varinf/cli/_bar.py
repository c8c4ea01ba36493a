"""The progress bar of a fit, on a terminal."""

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from varinf.cli._show import time_text

if TYPE_CHECKING:
    from varinf.train import Boundary


class Bar:
    """A line that says what is being done: epochs, the elbo on training and held-out rows, the time left."""

    def __init__(self, progress: Progress):
        self._progress = progress
        self._task = progress.add_task("loading", total=None, figures="")
        self._held_out = ""

    def phase(self, name: str) -> None:
        """Say what is being done that has no measure."""
        self._progress.reset(self._task, description=name, total=None, figures="")

    def move(self, boundary: "Boundary") -> None:
        """Go on to where a fit stands."""
        metrics = boundary.metrics
        if "validation_elbo" in metrics:
            self._held_out = f", held out {metrics['validation_elbo']:.2f}"
        task, total = self._progress.tasks[self._task], boundary.total_steps
        if task.total != total:
            self._progress.reset(self._task, total=total, completed=boundary.steps)
        left = task.time_remaining
        figures = f"elbo {metrics['elbo']:.2f}{self._held_out}"
        if left is not None:
            figures += f"  {time_text(left)} left"
        done = min(boundary.epoch + 1, boundary.epochs)
        description = f"epoch {done:{len(str(boundary.epochs))}}/{boundary.epochs}"
        self._progress.update(self._task, description=description, completed=boundary.steps, figures=figures)


@contextlib.contextmanager
def progress_bar() -> Iterator[Bar]:
    """A bar on the standard error while this lasts; nothing where that is no terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(table_column=Column(ratio=1, max_width=40)),
        TextColumn("{task.fields[figures]}", markup=False, table_column=Column(no_wrap=True)),
    )
    progress = Progress(
        *columns,
        console=console,
        transient=True,
        expand=True,
        disable=not console.is_terminal,
        # what is printed meanwhile must not run into the bar, but only where both are on the terminal
        redirect_stdout=sys.stdout.isatty(),
        redirect_stderr=True,
    )
    with progress:
        yield Bar(progress)
