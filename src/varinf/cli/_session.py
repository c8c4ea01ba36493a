"""A fit on the command line: its run directory, its progress, its last words."""

import contextlib
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from varinf._files import DamagedFileError, read_arrays
from varinf.cli._bar import progress_bar
from varinf.cli._show import results_text, seconds_text
from varinf.cli._signals import Interrupted
from varinf.config import make_settings
from varinf.data import known
from varinf.errors import InputError, NonFiniteError
from varinf.run import LockedError, Run

if TYPE_CHECKING:
    from varinf.job import Outcome


def begin(options: dict[str, Any], settings: Path | None, out: Path | None, *, overwrite: bool) -> Run:
    """A new run with its settings on disk, before anything slow is loaded."""
    made = make_settings(options, settings)
    places = {"source": _absolute(made.data.source), "test": _absolute(made.data.test)}
    made = made.model_copy(update={"data": made.data.model_copy(update=places)})
    return Run.create(out, made, overwrite=overwrite)


def carry_out(run: Run, *, new: bool) -> None:
    """Fit, evaluate, draw and print. A new run that fails before its first checkpoint leaves nothing behind."""
    with _last_words(run, new=new), run.lock():
        ended = run.finished and _model_is_whole(run)
        results = run.results() if ended else _results(run)
        run.supersede()
    if ended:
        print(results_text(results))
        print(f"This run has ended already; it is in {run.path}")
        return
    print(f"\n{results_text(results)}")
    print(f"stopped            {results['stop_reason']}, {results['steps']:,} steps")
    print(f"time               {seconds_text(results['seconds'])}")
    print(f"run                {run.path}")


def _model_is_whole(run: Run) -> bool:
    """Whether the model of a finished run is as it was written; one that is not, the checkpoints make anew."""
    try:
        read_arrays(run.model)
    except DamagedFileError as error:
        warnings.warn(f"{error}; it is made anew", stacklevel=2)
        return False
    return True


def _results(run: Run) -> dict[str, Any]:
    """What a run comes to, once all of it is on disk."""
    began = time.monotonic()
    run.tidy()
    with progress_bar() as bar:
        from varinf import job

        outcome = job.fit_run(run, say=_say, progress=bar.move)
        bar.phase("evaluating")
        results = job.results(run, outcome)
        bar.phase("drawing")
        _draw(run, outcome)
    results["seconds"] = time.monotonic() - began
    run.write_results(results)
    return results


def _say(line: str) -> None:
    """Print what was chosen. Where it cannot be, the fit goes on: what it came to is then not printed either."""
    with contextlib.suppress(OSError):
        print(f"chosen: {line}")


@contextlib.contextmanager
def _last_words(run: Run, *, new: bool) -> Iterator[None]:
    """What becomes of a run that comes to an end before its time, and how the user learns of it."""
    go_on = f"go on with: varinf fit --resume {run.path}"
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as error:
        error.add_note(go_on)
        raise
    except LockedError:
        raise  # the run is another process's
    except (InputError, NonFiniteError, OSError) as error:
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(run.path)
        if new and not run.has_checkpoint:
            run.discard()
        elif isinstance(error, NonFiniteError):
            error.add_note(f"the last good checkpoint is kept in {run.checkpoints}")
        elif isinstance(error, OSError):
            error.add_note(go_on)
        raise


def _absolute(where: str | None) -> str | None:
    """A path that will be the same from anywhere; a known name as it is.

    Raises:
        InputError: there is nothing at the path.
    """
    if where is None or where in {entry.name for entry in known()}:
        return where
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        path = Path(where).expanduser().absolute()
        if path.exists():
            return str(path)
    from varinf import data

    data.open(where)  # says what is wrong
    return where


def _draw(run: Run, outcome: "Outcome") -> None:
    from varinf import job, report

    run.pictures.mkdir(exist_ok=True)
    report.PICTURES[run.settings.model.model](**job.drawing(run, outcome), folder=run.pictures)
