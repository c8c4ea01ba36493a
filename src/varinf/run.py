"""The run directory: all that there is of a run, on disk. Loads no JAX."""

import contextlib
import errno
import fcntl
import itertools
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from varinf._files import DamagedFileError, sync_folder, write_file
from varinf.config import Settings, dump_settings, load_settings
from varinf.errors import InputError

_RUNS = Path("runs")
_LONGEST_NAME = 255 - len("..replaced")  # of a file system's 255 bytes
# of what is always among them, enough to know them by
_METRICS, _RESULTS = {"epoch", "steps", "elbo"}, {"rows", "elbo", "row", "seconds"}
# what file systems reached by a network say of locks that they do not have; NFS so of a folder's
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF}


class LockedError(InputError):
    """Another process is at work on a run."""


class Run:
    """A directory with a run's settings, metrics, checkpoints, model and pictures.

    Attributes:
        path: the directory.
        settings: of the run.
    """

    def __init__(self, path: Path, settings: Settings):
        self.path, self.settings = path, settings
        self._lines: int | None = None
        self._made: list[Path] = []
        self._was_empty = False

    @classmethod
    def create(cls, path: Path | None, settings: Settings, *, overwrite: bool = False) -> "Run":
        """A new directory with settings in it; at any moment there is a whole one at the path, or none.

        Args:
            path: where; None for runs/DATA-TIME. An empty folder will do, and a link to one or to a run is followed.
            settings: of the run.
            overwrite: put an earlier run of that name aside; `discard` brings it back, `supersede` removes it.

        Raises:
            InputError: there is something at the path already.
            OSError: it cannot be made.
        """
        content = dump_settings(settings)
        if path is None:
            made = _missing(_RUNS)
            path = _new_folder(Path(settings.data.source).stem)
            made.insert(0, path)
        else:
            path = _named(path)
            made = _missing(path.parent)
        run = cls(path, settings)
        run._made = made
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _alone_in(path.parent):
                run._begin(content, overwrite=overwrite)
        except BaseException as error:
            _remove_empty(made)
            if isinstance(error, OSError):
                error.filename, error.filename2 = str(path), None
            raise
        return run

    @classmethod
    def open(cls, path: Path) -> "Run":
        """An existing run.

        Raises:
            InputError: there is none.
            DamagedFileError: its settings are not as they were written.
        """
        path = _named(path)
        _restore(path)
        if not path.is_dir():
            raise InputError(f"no such run: {path}")
        if not (path / "settings.toml").is_file():
            raise InputError(f"{path} is not a run of varinf's: it has no settings.toml")
        settings = load_settings(path / "settings.toml")
        missing = Settings.model_fields.keys() - settings.model_fields_set
        if missing:  # whose place the defaults would take
            raise DamagedFileError(f"{path / 'settings.toml'} is damaged: it lacks the section [{min(missing)}]")
        return cls(path, settings)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Let no other process work on this run meanwhile. The lock ends with the process, however that ends.

        Raises:
            LockedError: another is at work.
        """
        path = self.path / "settings.toml"
        with open(path, "r+b" if os.access(path, os.W_OK) else "rb") as file:  # NFS locks what can be written
            try:
                _lock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LockedError(f"another process is at work on {self.path}; wait for it, or stop it") from None
            yield

    @property
    def model(self) -> Path:
        """Where the model is, for `varinf.save` and `varinf.load`."""
        return self.path / "model"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def pictures(self) -> Path:
        """The folder of pictures."""
        return self.path / "pictures"

    @property
    def snapshots(self) -> Path:
        """The folder of samples taken in the course of the fit."""
        return self.path / "snapshots"

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is something to go on from."""
        return any(self.checkpoints.glob("step-*.json"))

    @property
    def finished(self) -> bool:
        """Whether the run ended and its results are there."""
        return (self.path / "results.json").is_file()

    def log(self, epoch: int, steps: int, metrics: dict[str, float]) -> None:
        """Add the metrics of an epoch, counted from 0, in place of any from that epoch on."""
        path = self.path / "metrics.jsonl"
        if self._lines != epoch:
            # the first line of this process: what a fit that was cut off wrote beyond its checkpoint goes
            write_file(path, b"".join(_whole_lines(path)[:epoch]))
        with open(path, "ab") as file:
            file.write(_line(epoch, steps, metrics))
        self._lines = epoch + 1

    def write_history(self, history: dict[str, list[float]], steps_per_epoch: int) -> None:
        """Write the metrics of all epochs, for the case that a power cut took lines that were only appended."""
        epochs = range(max(map(len, history.values()), default=0))
        rows = ({name: values[epoch] for name, values in history.items()} for epoch in epochs)
        lines = [_line(epoch, (epoch + 1) * steps_per_epoch, row) for epoch, row in enumerate(rows)]
        if lines != _whole_lines(self.path / "metrics.jsonl"):
            write_file(self.path / "metrics.jsonl", b"".join(lines))

    def metrics(self) -> list[dict[str, Any]]:
        """The metrics of each epoch.

        Raises:
            DamagedFileError: the file is not as it was written.
        """
        path = self.path / "metrics.jsonl"
        try:
            return [_checked(json.loads(line), _METRICS) for line in _whole_lines(path)]
        except ValueError:
            raise DamagedFileError(f"{path} is damaged: a line of it is no JSON of metrics") from None

    def write_results(self, results: dict[str, Any]) -> None:
        """Keep the figures that the run ended with; with that it is finished."""
        write_file(self.path / "results.json", (json.dumps(results, indent=1) + "\n").encode())

    def results(self) -> dict[str, Any]:
        """The figures that the run ended with.

        Raises:
            InputError: it did not end yet.
            DamagedFileError: the file is not as it was written.
        """
        path = self.path / "results.json"
        if not self.finished:
            raise InputError(f"{self.path} is not finished; go on with: varinf fit --resume {self.path}")
        try:
            return _checked(json.loads(path.read_text()), _RESULTS)
        except ValueError:
            raise DamagedFileError(
                f"{path} is damaged: it is no JSON of results; remove it, and varinf fit --resume {self.path} makes it "
                "anew"
            ) from None

    def tidy(self) -> None:
        """Remove what a process that was killed left half-written."""
        for folder in (self.path, self.checkpoints, self.pictures, self.snapshots):
            for path in folder.glob(".*.tmp"):
                path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Take back what `create` did."""
        _remove(self.path)
        if self._was_empty:
            self.path.mkdir()
        _restore(self.path)
        _remove_empty(self._made)

    def supersede(self) -> None:
        """Remove the earlier run that `create` put aside."""
        if _beside(self.path, "replaced").exists():
            shutil.rmtree(_beside(self.path, "replaced"))
            sync_folder(self.path.parent)

    def _begin(self, content: bytes, *, overwrite: bool) -> None:
        """Make the directory, with settings in it, or leave all as it was."""
        path = self.path
        _restore(path)
        self._was_empty = path.is_dir() and not any(path.iterdir())
        taken = path.exists() and not self._was_empty
        if taken and not (path / "settings.toml").is_file():
            raise InputError(f"{path} exists and is not a run of varinf's; take another --out")
        if taken and not overwrite:
            raise InputError(
                f"{path} exists; go on with it by --resume {path}, replace it with --overwrite, or take another --out"
            )
        if self._was_empty:
            try:
                write_file(path / "settings.toml", content)
            except BaseException:
                (path / "settings.toml").unlink(missing_ok=True)
                raise
            return
        new = _beside(path, "new")
        shutil.rmtree(new, ignore_errors=True)
        try:
            new.mkdir()
            write_file(new / "settings.toml", content)
            if taken:
                self._put_aside()
            os.replace(new, path)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            _restore(path)
            raise
        try:
            sync_folder(path.parent)
        except BaseException:
            _remove(path)
            _restore(path)
            raise

    def _put_aside(self) -> None:
        """Move the run at the path out of the way. Of two in a row, the one that was finished is kept to bring back."""
        aside = _beside(self.path, "replaced")
        earlier = Run.open(self.path)
        with earlier.lock():
            if earlier.finished:
                shutil.rmtree(aside, ignore_errors=True)
            if aside.exists():
                _remove(self.path)
            else:
                os.replace(self.path, aside)


def _lock(handle: int, how: int) -> None:
    """Lock an open file or folder where its file system can.

    Raises:
        BlockingIOError: another process holds it, and `how` says not to wait.
    """
    try:
        fcntl.flock(handle, how)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process begins a run in a folder, and let none begin meanwhile."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        _lock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f".{path.name}.{what}")


def _named(path: Path) -> Path:
    """A path that ends in a name, so that something can be put beside it; of a link, where it leads.

    Raises:
        InputError: the name is so long that what is put beside it could have none.
    """
    if path.is_symlink() or path.name in ("", ".."):
        path = Path(os.path.realpath(path))
    length = len(os.fsencode(path.name))
    if length > _LONGEST_NAME:
        raise InputError(f"{path}: expected a name of at most {_LONGEST_NAME} bytes, got {length}; take a shorter one")
    return path


def _restore(path: Path) -> None:
    """Bring back a run that was put aside and that nothing took the place of: a process was killed in between."""
    aside = _beside(path, "replaced")
    if not path.exists() and aside.exists():
        os.replace(aside, path)


def _remove(path: Path) -> None:
    """Remove a folder so that at no moment a half of it is at its path."""
    gone = _beside(path, "removed")
    shutil.rmtree(gone, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        os.replace(path, gone)
    shutil.rmtree(gone, ignore_errors=True)


def _missing(folder: Path) -> list[Path]:
    """The folders that must be made for `folder` to be, innermost first."""
    return [parent for parent in (folder, *folder.parents) if not parent.exists()]


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _line(epoch: int, steps: int, metrics: dict[str, float]) -> bytes:
    return json.dumps({"epoch": epoch, "steps": steps, **metrics}).encode() + b"\n"


def _checked(parsed: Any, names: set[str]) -> dict[str, Any]:
    if not isinstance(parsed, dict) or not names <= parsed.keys():
        raise ValueError(f"expected {', '.join(sorted(names))}")
    return parsed


def _whole_lines(path: Path) -> list[bytes]:
    """The lines of a file but for a last one that was cut off."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return lines if not lines or lines[-1].endswith(b"\n") else lines[:-1]


def _new_folder(data: str) -> Path:
    """An empty folder in runs/, named by the data and the time, that no other process was given."""
    name = f"{data}-{time.strftime('%Y%m%d-%H%M%S')}"
    path = _RUNS / name
    _RUNS.mkdir(exist_ok=True)
    for number in itertools.count(2):
        try:
            path.mkdir(parents=True)
            break
        except FileExistsError:
            path = _RUNS / f"{name}-{number}"
    return path
