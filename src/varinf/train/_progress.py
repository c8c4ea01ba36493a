import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from varinf._tree import named_arrays, with_arrays
from varinf.errors import InputError, NonFiniteError
from varinf.train._checkpoints import Checkpoints
from varinf.train._step import State, copied

_BEST = "best:"


class Progress:
    """How far a fit has come: all that it would need to go on from here.

    It lives as long as one call of `fit`, and is what a checkpoint holds.

    Args:
        state: at the start.
        num_batches: how many steps an epoch has.
        checkpoints: where to keep it, or None.
        seconds: how long to wait between two checkpoints.
        patience: epochs to wait for a better bound, or None.
        bound: the metric to watch.
        identity: what tells this fit from another; kept with the checkpoints and compared on resume.
    """

    def __init__(
        self,
        state: State,
        num_batches: int,
        checkpoints: Checkpoints | None,
        seconds: float,
        patience: int | None,
        bound: str,
        identity: dict[str, Any],
    ):
        self.state, self.steps, self.history = state, 0, dict[str, list[float]]()
        self.best_params: Any = None
        self._best, self._waited = -math.inf, 0
        self._sums, self._rows = dict[str, float](), 0
        self._num_batches = num_batches
        self._checkpoints, self._seconds, self._identity = checkpoints, seconds, identity
        self._patience, self._bound = patience, bound
        self._saved_at, self._saved_step = time.monotonic(), -1

    def made(
        self,
        state: State,
        metrics: dict[str, np.ndarray],
        rows: np.ndarray,
        validate: Callable[[State], dict[str, float]],
    ) -> None:
        """Take in the steps of one compiled call: the new state, each step's metrics and number of rows.

        `validate` gives the metrics on the validation data at an epoch's end; none where there are no such data.
        """
        self.state, first = state, 0
        while first < len(rows):
            stop = min(len(rows), first + self._num_batches - self.steps % self._num_batches)
            for name, values in metrics.items():
                # one after the other, so that the sum does not depend on how the steps were cut into calls
                total = self._sums.get(name, 0.0)
                for value, weight in zip(values[first:stop].tolist(), rows[first:stop].tolist(), strict=True):
                    total += value * weight
                self._sums[name] = total
            self._rows += int(rows[first:stop].sum())
            self.steps += stop - first
            first = stop
            if self.steps % self._num_batches == 0:
                self._end_epoch(validate(state))

    def shown(self) -> dict[str, float]:
        """The metrics of this epoch up to now; just after an epoch's end, all of that epoch."""
        if self._rows:
            return {name: total / self._rows for name, total in self._sums.items()}
        return {name: values[-1] for name, values in self.history.items()}

    def _end_epoch(self, validation: dict[str, float]) -> None:
        """Enter an epoch into the history, and see whether to stop."""
        for name, value in (self.shown() | {f"validation_{n}": v for n, v in validation.items()}).items():
            self.history.setdefault(name, []).append(value)
        self._sums, self._rows = {}, 0
        if self._patience is None:
            return
        if validation[self._bound] > self._best:
            self._best, self._waited = validation[self._bound], 0
            self.best_params = copied(self.state.params)
        else:
            self._waited += 1

    def stop_reason(self, epochs_done: int, epochs: int) -> str | None:
        """Why the fit is over, or None if it is not."""
        if self._patience is not None and self._waited >= self._patience:
            return f"no better {self._bound} on the validation data for {self._patience} epochs"
        return f"all {epochs} epochs done" if epochs_done >= epochs else None

    def save_if_due(self) -> None:
        """Keep a checkpoint if the last is old enough."""
        if self._checkpoints is not None and time.monotonic() - self._saved_at >= self._seconds:
            self.save()

    def save(self) -> None:
        """Keep a checkpoint of where the fit stands, unless there is one.

        Raises:
            NonFiniteError: a parameter is no longer a finite number; nothing is kept.
        """
        if self._checkpoints is None or self._saved_step == self.steps:
            return
        self.check_finite()
        arrays = named_arrays(self.state)
        if self.best_params is not None:
            arrays |= {_BEST + name: array for name, array in named_arrays(self.best_params).items()}
        meta = {
            "identity": self._identity,
            "history": self.history,
            "sums": self._sums,
            "rows": self._rows,
            "best": None if math.isinf(self._best) else self._best,
            "waited": self._waited,
        }
        self._checkpoints.save(self.steps, arrays, meta)
        self._saved_at, self._saved_step = time.monotonic(), self.steps

    def check_finite(self) -> None:
        """Refuse parameters that are no numbers, as the loss before the last step does not show.

        Raises:
            NonFiniteError: with the name of the first.
        """
        for name, array in named_arrays(self.state.params).items():
            if not np.isfinite(array).all():
                raise NonFiniteError(
                    f"the parameters {name} are no longer finite after step {self.steps}; "
                    "lower the learning rate or clip the gradients",
                    self.steps,
                )

    def resume(self) -> None:
        """Go on from the newest checkpoint, if there is one.

        Raises:
            InputError: it is of another fit, or of a newer varinf.
        """
        found = None if self._checkpoints is None else self._checkpoints.newest()
        if found is None or self._checkpoints is None:
            return
        (arrays, meta), folder = found, self._checkpoints.folder
        for name, value in self._identity.items():
            if meta["identity"].get(name) != value:
                raise InputError(
                    f"the checkpoints in {folder} are of another fit: its {name} differed from what is given now; "
                    "give the same, take another folder, or remove them"
                )
        best = {name.removeprefix(_BEST): array for name, array in arrays.items() if name.startswith(_BEST)}
        rest = {name: array for name, array in arrays.items() if not name.startswith(_BEST)}
        if best:
            self.best_params = with_arrays(self.state.params, best)
        self.state = with_arrays(self.state, rest)
        self.steps = self._saved_step = meta["step"]
        self.history, self._sums, self._rows = meta["history"], meta["sums"], meta["rows"]
        self._best = -math.inf if meta["best"] is None else meta["best"]
        self._waited = meta["waited"]
