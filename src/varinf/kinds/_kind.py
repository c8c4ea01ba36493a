import abc
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import PRNGKeyArray

from varinf import data
from varinf.choice import Choice
from varinf.config import Settings
from varinf.errors import InputError
from varinf.models import AbstractModel
from varinf.train import Fit


class Target(NamedTuple):
    """What a network predicts.

    Attributes:
        name: of the column; "label" for labels that came with the data.
        classes: words or whole numbers, in the order of the network's outputs; None where it predicts a number.
        num_rows: how many rows it was fitted to.
    """

    name: str
    classes: tuple[str, ...] | tuple[int, ...] | None
    num_rows: int


class RunData(NamedTuple):
    """The rows of a run, what a row of inputs is, and what is to be predicted of it, if anything is."""

    train: data.Source
    held_out: data.Source
    spec: data.Spec
    target: Target | None = None


class AbstractKind(abc.ABC):
    """What of a run depends on the kind of its model.

    Attributes:
        num_samples: draws behind each figure of an evaluation.
        max_rows: to evaluate on at most; None for as many as any kind takes.
    """

    num_samples: ClassVar[int]
    max_rows: ClassVar[int | None]

    @abc.abstractmethod
    def rows(self, rows: RunData, settings: Settings) -> RunData:
        """The rows of a run as a model of this kind is fitted to them.

        Raises:
            InputError: they will not do.
        """

    @abc.abstractmethod
    def rows_like(self, source: data.Source, target: Target | None) -> data.Source:
        """Other rows in the same way.

        Raises:
            InputError: they will not do.
        """

    @abc.abstractmethod
    def choose(self, settings: Settings, rows: RunData, summary: Any) -> Choice:
        """What the settings leave open, chosen.

        Raises:
            InputError: settings that exclude each other.
        """

    @abc.abstractmethod
    def build(self, choice: Choice, summary: Any, *, key: PRNGKeyArray) -> AbstractModel:
        """The model before it is fitted."""

    @abc.abstractmethod
    def remarks(self, model: Any, rows: RunData) -> dict[str, str]:
        """What else there is to be said of a model before it is fitted, by what it is about."""

    @abc.abstractmethod
    def snapshot(self, model: Any, *, key: PRNGKeyArray) -> Callable[[Any], np.ndarray] | None:
        """What is kept of the model as it changes: a function of it, if there is anything to be seen."""

    @abc.abstractmethod
    def evaluation(
        self, model: Any, source: data.Source, target: Target | None, *, num_samples: int, key: PRNGKeyArray
    ) -> dict[str, Any]:
        """Figures about a model on these rows, per datum in nats."""

    @abc.abstractmethod
    def drawing(
        self,
        fit: Fit,
        source: data.Source,
        rows: RunData,
        snapshots: Sequence[tuple[int, np.ndarray]],
        *,
        key: PRNGKeyArray,
    ) -> dict[str, Any]:
        """What `varinf.report.PICTURES` has to be told of a fit, but for the folder.

        Args:
            fit: with the model and its history.
            source: held-out rows to draw.
            rows: all rows.
            snapshots: the epochs and what `snapshot` gave.
            key: for draws.
        """


def one_spec(source: data.Source) -> data.Spec:
    """What a row is, of a source whose rows are single arrays, as all those that have a path are."""
    if isinstance(source.spec, tuple):
        raise InputError(f"expected rows of one array each, got {len(source.spec)} arrays")
    return source.spec
