from typing import ClassVar

import numpy as np
from jaxtyping import Array, Float

from varinf import distributions as vd
from varinf.data import Summary
from varinf.likelihoods._features import identity
from varinf.likelihoods._likelihood import AbstractLikelihood, DataOptions, Parts
from varinf.likelihoods._observation import Standardized
from varinf.likelihoods._parameters import (
    Known,
    known_df,
    known_number,
    learned_df,
    learned_scale,
    raw,
    raw_df,
)

_DF_FLOOR = 2.01  # of learned degrees of freedom: the variance is then at most 201 times the squared scale


class StudentT(AbstractLikelihood):
    """Noise with heavy tails, for data with outliers; the network gives the location.

    The degrees of freedom stay above two, so that the variance, scale² df / (df − 2), exists.

    Args:
        df: the known degrees of freedom, a number above two or an array of the shape of a datum; None learns them,
            from 5 on.
        scale: the known scale, likewise, positive; None learns it, from 1 on.
        shape: of what is learned: () for one number, or the shape of a datum.

    Raises:
        InputError: degrees of freedom of two or less, or a scale that is not positive; or one that is not finite.
    """

    discrete: ClassVar[bool] = False
    normalized: ClassVar[bool] = True

    df: Known | None
    scale: Known | None
    raw_df: Float[Array, "..."] | None
    raw_scale: Float[Array, "..."] | None

    def __init__(
        self,
        df: float | Array | np.ndarray | None = None,
        scale: float | Array | np.ndarray | None = None,
        shape: tuple[int, ...] = (),
    ):
        self.df = None if df is None else known_df(df)
        self.scale = None if scale is None else known_number("scale", scale)
        self.raw_df = raw_df(_DF_FLOOR, shape) if df is None else None
        self.raw_scale = raw(1.0, shape) if scale is None else None

    @classmethod
    def for_data(cls, event_shape: tuple[int, ...], options: DataOptions, summary: Summary | None) -> Parts:
        observation = Standardized.for_data(event_shape, summary)
        bias = None if summary is None else observation.standardize(summary.mean)
        likelihood = cls(shape=event_shape if len(event_shape) == 1 else ())
        return Parts(likelihood, observation, identity, event_shape, bias)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        return event_shape

    def __call__(self, output: Float[Array, "..."]) -> vd.StudentT:
        df = learned_df(self.raw_df, _DF_FLOOR) if self.df is None else self.df.value
        return vd.StudentT(df, output, learned_scale(self.raw_scale) if self.scale is None else self.scale.value)
