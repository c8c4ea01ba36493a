"""The run directory: all that there is of a run, on disk. Loads no JAX."""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from varinf._files import sync_folder, write_file
from varinf.config import Settings, dump_settings, load_settings
from varinf.errors import InputError


class Run:
    """A directory with a run's settings, metrics, checkpoints, model and pictures.

    Attributes:
        path: the directory.
        settings: of the run.
    """

    def __init__(self, path: Path, settings: Settings):
        self.path, self.settings = path, settings

    @classmethod
    def create(cls, path: Path | None, settings: Settings, *, overwrite: bool = False) -> "Run":
        """A new directory with settings in it.

        Args:
            path: where; None for runs/DATA-TIME.
            settings: of the run.
            overwrite: put an earlier run of that name aside; `discard` brings it back, `supersede` removes it.

        Raises:
            InputError: there is something at the path already.
            OSError: it cannot be made.
        """
        if path is None:
            path = _new_name(Path(settings.data.source).stem)
        if path.exists():
            if not overwrite:
                raise InputError(
                    f"{path} exists; go on with --resume {path}, replace it with --overwrite, or take another --out"
                )
            if not (path / "settings.toml").is_file():
                raise InputError(f"{path} is not a run of varinf's, so it is not overwritten; take another --out")
        run = cls(path, settings)
        if path.exists():
            shutil.rmtree(run._aside, ignore_errors=True)
            os.replace(path, run._aside)
        try:
            path.mkdir(parents=True)
            write_file(path / "settings.toml", dump_settings(settings))
        except BaseException:
            run.discard()
            raise
        return run

    @classmethod
    def open(cls, path: Path) -> "Run":
        """An existing run.

        Raises:
            InputError: there is none.
        """
        if not path.is_dir():
            raise InputError(f"no such run: {path}")
        if not (path / "settings.toml").is_file():
            raise InputError(f"{path} is not a run of varinf's: it has no settings.toml")
        return cls(path, load_settings(path / "settings.toml"))

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
    def finished(self) -> bool:
        """Whether the run ended and its results are there."""
        return (self.path / "results.json").is_file()

    def log(self, epoch: int, steps: int, metrics: dict[str, float]) -> None:
        """Add the metrics of an epoch, counted from 0, in place of any from that epoch on."""
        path = self.path / "metrics.jsonl"
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        if len(lines) > epoch:
            write_file(path, b"".join(line + b"\n" for line in lines[:epoch]))
        with open(path, "ab") as file:
            file.write(json.dumps({"epoch": epoch, "steps": steps, **metrics}).encode() + b"\n")

    def metrics(self) -> list[dict[str, Any]]:
        """The metrics of each epoch."""
        path = self.path / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []

    def write_results(self, results: dict[str, Any]) -> None:
        """Keep the figures that the run ended with; with that it is finished."""
        write_file(self.path / "results.json", (json.dumps(results, indent=1) + "\n").encode())

    def results(self) -> dict[str, Any] | None:
        """The figures that the run ended with, if it did."""
        return json.loads((self.path / "results.json").read_text()) if self.finished else None

    def discard(self) -> None:
        """Take back what `create` did."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._aside.exists():
            os.replace(self._aside, self.path)
        else:
            _remove_empty(self.path.parent)

    def supersede(self) -> None:
        """Remove the earlier run that `create` put aside."""
        if self._aside.exists():
            shutil.rmtree(self._aside)
            sync_folder(self.path.parent)

    @property
    def _aside(self) -> Path:
        return self.path.with_name(f".{self.path.name}.replaced")


def _new_name(data: str) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    names = [f"{data}-{stamp}", *(f"{data}-{stamp}-{i}" for i in range(2, 1000))]
    return next(Path("runs") / name for name in names if not (Path("runs") / name).exists())


def _remove_empty(folder: Path) -> None:
    """Remove the runs folder if it was made for a run that came to nothing."""
    if folder == Path("runs") and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
