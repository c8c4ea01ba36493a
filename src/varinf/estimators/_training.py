"""How the training parameters that all estimators share become a fit."""

import abc
import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import jax
import numpy as np
from jaxtyping import PRNGKeyArray
from sklearn.base import BaseEstimator

from varinf._checks import at_least_one, known, number, sizes
from varinf._tree import named_arrays
from varinf.data import Summary
from varinf.errors import InputError
from varinf.models import AbstractModel, from_arrays
from varinf.objectives import AbstractObjective
from varinf.train import OPTIMIZERS, SCHEDULES, Boundary, fit, make_optimizer

SEEDS = np.iinfo(np.int32).max


class TrainedEstimator(BaseEstimator, abc.ABC):
    """An estimator that is fitted by stochastic gradients; its parameters are described where they are given."""

    hidden_layer_sizes: int | Sequence[int]
    solver: str
    learning_rate: str
    learning_rate_init: float
    batch_size: int | str
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    verbose: bool

    @contextlib.contextmanager
    def _whole_or_not_at_all(self) -> Iterator[None]:
        """Around a fit: where it fails, the estimator is as it was, and no old model answers with new labels."""
        before = dict(vars(self))
        try:
            yield
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _check_training(self) -> None:
        """Refuse parameters that no one further in would refuse in these names."""
        known("solver", self.solver, OPTIMIZERS)
        known("learning_rate", self.learning_rate, SCHEDULES)
        if not 0 < number("learning_rate_init", self.learning_rate_init) < math.inf:
            raise InputError(f"learning_rate_init must be positive, got {self.learning_rate_init}")
        if not isinstance(self.batch_size, str):
            at_least_one("batch_size", self.batch_size)
        elif self.batch_size != "auto":
            raise InputError(f"batch_size must be 'auto' or at least 1, got {self.batch_size!r}")
        if self.early_stopping:
            at_least_one("n_iter_no_change", self.n_iter_no_change)
            if not 0 < number("validation_fraction", self.validation_fraction) < 1:
                raise InputError(f"validation_fraction must be between 0 and 1, got {self.validation_fraction}")

    def _hidden(self) -> tuple[int, ...]:
        """The sizes of the hidden layers, of which one may be given as a number."""
        several = isinstance(self.hidden_layer_sizes, Sequence | np.ndarray)
        return sizes("hidden_layer_sizes", self.hidden_layer_sizes if several else (self.hidden_layer_sizes,))

    @abc.abstractmethod
    def _auto_batch_size(self, n_rows: int) -> int:
        """Rows in a step, if there are so many."""

    def _batch_size(self, n_rows: int) -> int:
        return min(n_rows, self._auto_batch_size(n_rows) if isinstance(self.batch_size, str) else int(self.batch_size))

    def _split(self, rows: Any, random: np.random.RandomState) -> tuple[Any, Any | None]:
        """The rows to fit, an array or a tuple of arrays, and those held out for early stopping."""
        if not self.early_stopping:
            return rows, None
        count = _count(rows)
        held_out = min(max(1, round(self.validation_fraction * count)), count - 1)
        order = random.permutation(count)
        return tuple(
            jax.tree.map(lambda array, part=part: array[part], rows) for part in (order[held_out:], order[:held_out])
        )

    def _train(
        self,
        model: AbstractModel,
        rows: Any,
        held_out: Any | None,
        *,
        objective: AbstractObjective,
        epochs: int,
        summary: Summary | tuple[Summary, ...],
        key: PRNGKeyArray,
    ) -> None:
        """Fit a model, and take note of it and of the course of the fit."""
        n_rows = _count(rows)
        batch_size = self._batch_size(n_rows)
        optimizer = make_optimizer(
            self.solver,
            self.learning_rate_init,
            schedule=self.learning_rate,
            total_steps=epochs * -(-n_rows // batch_size),
        )
        done = fit(
            model,
            rows,
            validation=held_out,
            objective=objective,
            optimizer=optimizer,
            # left open where it is all rows, so that small sets share a compiled step
            batch_size=None if self.batch_size == "auto" and n_rows <= batch_size else batch_size,
            epochs=epochs,
            patience=self.n_iter_no_change if self.early_stopping else None,
            callback=_show if self.verbose else None,
            summary=summary,
            key=key,
        )
        self.model_ = done.model
        self.history_ = done.history
        self.loss_curve_ = done.history["loss"]
        self.loss_ = self.loss_curve_[-1]
        self.n_iter_ = len(self.loss_curve_)
        self.validation_scores_ = done.history.get("validation_elbo")

    def __getstate__(self) -> dict[str, Any]:
        # what is pickled of the model are named arrays and settings, no code
        state = cast(dict[str, Any], super().__getstate__())
        if "model_" in state:
            state = state | {"model_": {"recipe": self.model_.recipe, "arrays": named_arrays(self.model_)}}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "model_" in state:
            state = state | {"model_": from_arrays(**state["model_"])}
        super().__setstate__(state)


def _count(rows: Any) -> int:
    return len(jax.tree.leaves(rows)[0])


def _show(at: Boundary) -> None:
    if at.epoch_done:
        metrics = ", ".join(f"{name} = {value:.4f}" for name, value in at.metrics.items())
        print(f"Iteration {at.epoch + 1}, {metrics}")
