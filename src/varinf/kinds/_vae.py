from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, cast

import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from varinf import data, evaluate, likelihoods, models
from varinf.choice import Choice, choose
from varinf.config import Settings
from varinf.errors import InputError
from varinf.kinds._kind import AbstractKind, RunData, Target
from varinf.train import Fit

_SNAPSHOTS = 10  # codes that are decoded in the course of a fit


class VAEKind(AbstractKind):
    """A variational auto-encoder."""

    num_samples: ClassVar[int] = 5000
    max_rows: ClassVar[int | None] = None

    def rows(self, rows: RunData, settings: Settings) -> RunData:
        return rows

    def rows_like(self, source: data.Source, target: Target | None) -> data.Source:
        return source

    def choose(self, settings: Settings, rows: RunData, summary: data.Summary) -> Choice:
        return choose(settings, rows.spec, summary)

    def build(self, choice: Choice, summary: data.Summary, *, key: PRNGKeyArray) -> models.VAE:
        return models.VAE.build(**choice.model, summary=summary, key=key)

    def remarks(self, model: models.VAE, rows: RunData) -> dict[str, str]:
        return {}

    def snapshot(self, model: models.VAE, *, key: PRNGKeyArray) -> Callable[[Any], np.ndarray]:
        drawn = jnp.asarray(models.prior_of(model).sample(key, (_SNAPSHOTS,)))
        return lambda model: evaluate.decode(model, drawn)

    def evaluation(
        self, model: models.VAE, source: data.Source, target: Target | None, *, num_samples: int, key: PRNGKeyArray
    ) -> dict[str, Any]:
        likelihood = cast(likelihoods.AbstractLikelihood, cast(models.Decoder, model.decoder).likelihood)
        # Side by side, since for small data most of the time goes into compiling them, on one core each.
        with ThreadPoolExecutor(2) as pool:
            bounding = pool.submit(evaluate.elbo, model, source, key=key)
            estimate = evaluate.log_likelihood(model, source, num_samples, key=key)
            bound = bounding.result()
        count = len(source)
        figures = {
            "elbo": float(bound.elbo.mean()),
            "reconstruction": float(bound.reconstruction.mean()),
            "kl": float(bound.kl.mean()),
            "monte_carlo_kl": list(bound.monte_carlo),
            "log_likelihood": float(estimate.value.mean()),
            # of the mean over rows: the rows' own spread, in which that of the draws is contained
            "log_likelihood_stderr": float(estimate.value.std(ddof=min(1, count - 1)) / count**0.5),
            "num_samples": num_samples,
            "is_log_likelihood": bool(likelihood.normalized),
        }
        if likelihood.discrete:
            figures["bits_per_dimension"] = float(-figures["elbo"] / (np.prod(evaluate.event_shape(model)) * np.log(2)))
        return figures

    def drawing(
        self,
        fit: Fit,
        source: data.Source,
        rows: RunData,
        snapshots: Sequence[tuple[int, np.ndarray]],
        *,
        key: PRNGKeyArray,
    ) -> dict[str, Any]:
        return {
            "model": fit.model,
            "rows": np.asarray(source.take(np.arange(len(source)))),
            "history": fit.history,
            "labels": getattr(source, "labels", None),
            "snapshots": snapshots,
            "kind": rows.spec.kind,
            "columns": rows.spec.columns,
            "max_value": rows.spec.max_value,
            "key": key,
        }


def codes(model: models.VAE, source: data.Source) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of q(z | x), `[n, dim]` each.

    Raises:
        InputError: rows that the model cannot observe.
    """
    model.observation.check(data.summarize(source))
    encoded = evaluate.encode(model, source)
    return encoded.means, encoded.stds


def reconstructions(model: models.VAE, source: data.Source) -> np.ndarray:
    """The decoder's means at the posterior means, `[n, *event]`.

    Raises:
        InputError: rows that the model cannot observe.
    """
    return evaluate.decode(model, codes(model, source)[0])


def between(model: models.VAE, source: data.Source, first: int, second: int, steps: int) -> np.ndarray:
    """The decoder's means on the line between the codes of two rows, `[steps, *event]`.

    Raises:
        InputError: no such row.
    """
    for row in (first, second):
        if not 0 <= row < len(source):
            raise InputError(f"expected row numbers from 0 to {len(source) - 1}, got {row}")
    (start, end), _ = codes(model, data.Subset(source, np.array([first, second])))
    share = np.linspace(0, 1, steps)[:, None]
    return evaluate.decode(model, (1 - share) * start + share * end)


def samples(model: models.VAE, num_samples: int, *, mean: bool, key: PRNGKeyArray) -> np.ndarray:
    """Draws from p(x), or the decoder's means at draws of z, `[num_samples, *event]`."""
    return np.asarray(model.sample(num_samples, key=key, mean=mean))
