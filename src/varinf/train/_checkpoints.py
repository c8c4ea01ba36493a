import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from varinf._files import DamagedFileError, read_arrays, write_arrays

_KEEP = 3
# whole, or what a crash left half-made; no other file of the folder is a checkpoint's
_FILE = re.compile(r"\.?(step-\d{10})\.(?:json|safetensors)(?:\.tmp)?")


class Checkpoints:
    """A folder with the newest few states of a fit.

    Args:
        folder: made when the first is saved.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def save(self, step: int, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Keep a state; let go of all but the newest three, and of those from later steps: they are damaged.

        Raises:
            OSError: the system refused; those that were there are untouched.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        write_arrays(self.folder / f"step-{step:010d}", arrays, {"step": step, **meta})
        # Were later ones counted, three damaged checkpoints would push out all that come after them.
        kept = {f"step-{old:010d}" for old in [old for old in self._steps() if old <= step][-_KEEP:]}
        # JSON first, by which readers go; and with the rest whatever a crash left half-made.
        for path in sorted(self.folder.glob("*step-*"), key=lambda path: path.suffix != ".json"):
            found = _FILE.fullmatch(path.name)
            if found and found[1] not in kept:
                path.unlink(missing_ok=True)

    def newest(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """The newest state that is whole, or None. One that is damaged is passed over with a warning.

        Raises:
            InputError: one of a newer varinf's, which is not damaged and is not to be written over.
        """
        steps = self._steps()
        for step in reversed(steps):
            try:
                return read_arrays(self.folder / f"step-{step:010d}")
            except DamagedFileError as error:
                last = step == steps[0]
                instead = "there is none before it: the fit begins anew" if last else "the checkpoint before it is used"
                warnings.warn(f"{error}; {instead}", stacklevel=2)
        return None

    def _steps(self) -> list[int]:
        found = (re.fullmatch(r"step-(\d+)\.json", path.name) for path in self.folder.glob("step-*.json"))
        return sorted(int(match[1]) for match in found if match)
