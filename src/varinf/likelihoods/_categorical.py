from typing import ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from varinf import distributions as vd
from varinf.data import Summary
from varinf.errors import InputError
from varinf.likelihoods._features import OneHot
from varinf.likelihoods._likelihood import AbstractLikelihood, DataOptions, Parts
from varinf.likelihoods._observation import Whole


class Categorical(AbstractLikelihood):
    """Classes 0..K−1; the network gives their logits on a last axis.

    Args:
        num_values: K; None: as many as the last axis of the network's output has.
    """

    discrete: ClassVar[bool] = True
    normalized: ClassVar[bool] = True

    num_values: int | None = eqx.field(static=True, default=None)

    @classmethod
    def for_data(cls, event_shape: tuple[int, ...], options: DataOptions, summary: Summary | None) -> Parts:
        num_values = options.num_values
        if num_values is None and summary is not None:
            Whole("categorical", None).check(summary)
            num_values = int(summary.maximum) + 1
        if num_values is None or num_values < 2:
            raise InputError(f"a categorical likelihood needs num_values of at least 2, got {num_values}")
        bias = None
        if summary is not None:
            # The binomial with the data's mean: the one choice of logits, linear in the class, that the mean alone
            # decides and that is flat where the mean lies in the middle.
            share = np.clip(summary.mean / (num_values - 1), 1e-2, 1 - 1e-2)[..., None]
            bias = _log_binomial(num_values) + np.arange(num_values) * (np.log(share) - np.log1p(-share))
        observation = Whole("categorical", num_values - 1, event_shape=event_shape)
        return Parts(cls(num_values), observation, OneHot(num_values), (*event_shape, num_values), bias)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*event_shape, -1 if self.num_values is None else self.num_values)

    def __call__(self, output: Float[Array, "..."]) -> vd.Categorical:
        return vd.Categorical(logits=output)


def _log_binomial(num_values: int) -> np.ndarray:
    """ln of the binomial coefficients of n = num_values − 1."""
    k = np.arange(1, num_values)
    return np.concatenate([[0.0], np.cumsum(np.log((num_values - k) / k))])
