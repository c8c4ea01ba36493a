"""What networks that predict a class and those that predict a number have in common."""

import abc
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar, cast

import numpy as np
from jaxtyping import Array, PRNGKeyArray

from varinf import data, models
from varinf._compiled import compiled
from varinf.choice import Choice
from varinf.config import Settings
from varinf.errors import InputError
from varinf.evaluate import RowBlock, observed, row_blocks
from varinf.kinds._kind import AbstractKind, RunData, Target, one_spec
from varinf.objectives import Request

_BOUND_ROWS, _BOUND_DRAWS = 512, 16
_WAYS = {
    "local": "drawn through the outputs of their layers",
    "datum": "drawn for each row",
    "flipout": "drawn for a batch, with signs of each row's own",
    "shared": "drawn for a batch",
}


class AbstractNetwork(AbstractKind):
    """A Bayesian network, fitted to pairs of inputs and targets."""

    max_rows: ClassVar[int | None] = 10_000

    @abc.abstractmethod
    def classes(self, labels: np.ndarray, what: str) -> tuple[str, ...] | tuple[int, ...] | None:
        """The classes in the labels of the training rows; None for numbers.

        Args:
            labels: one per row.
            what: they are, for messages.

        Raises:
            InputError: labels that cannot be the target.
        """

    @abc.abstractmethod
    def encoded(self, labels: np.ndarray, target: Target, what: str) -> np.ndarray:
        """Labels as a network predicts them, `[n]`.

        Args:
            labels: one per row.
            target: of the run.
            what: they are, for messages.

        Raises:
            InputError: labels of another kind than the target's, or a class that no training row has.
        """

    @abc.abstractmethod
    def figures(
        self, model: models.BayesianNetwork, x: np.ndarray, y: np.ndarray, *, num_samples: int, key: PRNGKeyArray
    ) -> dict[str, Any]:
        """How good the predictions for inputs `[n, *event]` are, of targets `[n]`."""

    @abc.abstractmethod
    def predictions(
        self, model: models.BayesianNetwork, x: np.ndarray, target: Target, *, num_samples: int, key: PRNGKeyArray
    ) -> dict[str, np.ndarray]:
        """What a model predicts of inputs `[n, *event]`: columns by name."""

    def rows(self, rows: RunData, settings: Settings) -> RunData:
        name = settings.data.target or "label"
        whole, other = _whole(rows.train), _whole(rows.held_out)
        for source in (whole, other):
            _refuse_empty(_labels(source, name), _what(source, name))
        target = Target(name, self.classes(_labels(rows.train, name), _what(whole, name)), len(rows.train))
        # before the whole is encoded: of a file that was split, a class may be in the held-out rows alone
        self.encoded(_labels(rows.held_out, name), target, f"{_what(other, name)} of the held-out rows")
        paired = self._paired(whole, target)
        other = paired if other is whole else self._paired(other, target)
        return RunData(_part(paired, rows.train), _part(other, rows.held_out), rows.spec, target)

    def rows_like(self, source: data.Source, target: Target | None) -> data.Source:
        target, columns = cast(Target, target), one_spec(source).columns
        if columns is not None and getattr(source, "labels", None) is None:
            raise InputError(
                f"{getattr(source, 'name', 'the data')}: expected the target column {target.name!r}, got columns "
                f"{', '.join(columns)}"
            )
        _refuse_empty(_labels(source, target.name), _what(source, target.name))
        return self._paired(source, target)

    def build(self, choice: Choice, summary: Any, *, key: PRNGKeyArray) -> models.BayesianNetwork:
        return models.BayesianNetwork.build(**choice.model, summary=summary, key=key)

    def remarks(self, model: models.BayesianNetwork, rows: RunData) -> dict[str, str]:
        ways = Counter(model.ways(inputs(rows.train, 2)).values())
        total = sum(ways.values())
        return {"weights": "; ".join(f"{way}, {_WAYS[way]}: {n} of {total} arrays" for way, n in ways.items())}

    def snapshot(self, model: models.BayesianNetwork, *, key: PRNGKeyArray) -> Callable[[Any], np.ndarray] | None:
        return None

    def evaluation(
        self,
        model: models.BayesianNetwork,
        source: data.Source,
        target: Target | None,
        *,
        num_samples: int,
        key: PRNGKeyArray,
    ) -> dict[str, Any]:
        x, y = pairs(source)
        figures = _bound(model, source, cast(Target, target).num_rows, key=key) | {"num_samples": num_samples}
        return figures | self.figures(model, x, y, num_samples=num_samples, key=key)

    def _paired(self, source: data.Source, target: Target) -> data.Paired:
        labels, what = _labels(source, target.name), _what(source, target.name)
        return data.Paired(source, self.encoded(labels, target, what), target.name)


def inputs(source: data.Source, most: int | None = None) -> np.ndarray:
    """The first inputs of a source, with targets or without, or all of them."""
    rows = np.arange(len(source) if most is None else min(most, len(source)))
    taken = source.take(rows)
    return taken[0] if isinstance(taken, tuple) else taken


def pairs(source: data.Source) -> tuple[np.ndarray, np.ndarray]:
    """All inputs and all targets."""
    x, y = source.take(np.arange(len(source)))
    return x, y


def _whole(source: data.Source) -> data.Source:
    return source.source if isinstance(source, data.Subset) else source


def _part(paired: data.Paired, source: data.Source) -> data.Source:
    return data.Subset(paired, source.rows) if isinstance(source, data.Subset) else paired


def _what(source: data.Source, name: str) -> str:
    return f"{getattr(source, 'name', 'the data')}: the target {name!r}"


def _labels(source: data.Source, name: str) -> np.ndarray:
    """The labels of a source, of which there must be one for each row."""
    labels = getattr(source, "labels", None)
    if labels is not None and np.ndim(labels) == 1:
        return np.asarray(labels)
    where, columns = getattr(source, "name", "the data"), one_spec(source).columns
    if columns is not None:
        raise InputError(f"{where}: --target is missing, the column to predict; known: {', '.join(columns)}")
    raise InputError(
        f"{where}: expected rows with a target to predict, got none; take a CSV or Parquet file that has it as a "
        "column (for fit, add --target), a .npz file with an array y of one value for each row, or a folder of images "
        "with a sub-folder for each class"
    )


def _refuse_empty(labels: np.ndarray, what: str) -> None:
    bad = np.flatnonzero(labels == "" if labels.dtype.kind in "US" else ~np.isfinite(labels))
    if len(bad):
        many = "one that is" if len(bad) == 1 else f"{len(bad)} that are"
        raise InputError(
            f"{what}: expected a value in each row, got {many} empty, NaN or infinite, the first in row {bad[0]} "
            f"(counted from 0); fill in or remove {'it' if len(bad) == 1 else 'them'}"
        )


def _bound(model: models.BayesianNetwork, source: data.Source, num_rows: int, *, key: PRNGKeyArray) -> dict[str, Any]:
    """E[ln p(y | x, w)] averaged over rows, the KL of the weights for each of the rows that were trained on, and the
    elbo; with what of the KL is averaged over draws."""
    reconstructions, exact, estimated = [], dict[str, Array](), dict[str, Array]()
    for block in row_blocks(model, source, min(_BOUND_ROWS, len(source))):
        reconstruction, exact, estimated = _terms(model, block, key)
        reconstructions.append(np.asarray(reconstruction)[: int(block.count)])
    kl = float(sum((exact | estimated).values())) / num_rows
    reconstruction = float(np.concatenate(reconstructions).mean(dtype=np.float64))
    return {"elbo": reconstruction - kl, "reconstruction": reconstruction, "kl": kl, "monte_carlo_kl": list(estimated)}


@compiled
def _terms(
    model: models.BayesianNetwork, block: RowBlock, key: PRNGKeyArray
) -> tuple[Array, dict[str, Array], dict[str, Array]]:
    request = Request(_BOUND_DRAWS, closed_form_kl=True, stop_posterior=False)
    batch = observed(model, block, key=key)
    terms = model.score(batch, model.draw(batch, request, key=key), request)
    exact = {latent.name: latent.kl.sum() for latent in terms.latents if latent.kl is not None}
    estimated = {latent.name: latent.log_ratio.mean() for latent in terms.latents if latent.kl is None}
    return terms.log_likelihood.mean(0), exact, estimated
