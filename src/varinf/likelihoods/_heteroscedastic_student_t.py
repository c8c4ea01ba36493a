from typing import ClassVar

import numpy as np
from jaxtyping import Array, Float

from varinf import distributions as vd
from varinf.data import Summary
from varinf.likelihoods._features import identity
from varinf.likelihoods._likelihood import AbstractLikelihood, DataOptions, Parts
from varinf.likelihoods._observation import Standardized
from varinf.likelihoods._parameters import Known, known_df, learned_df, raw_df, scale_of_output, start_of_pair

# Of learned degrees of freedom. With fewer, a network that gives the scale as well lays peaks on targets that occur
# often, whole numbers say, and has tails for all others: on the wines of UCI the density rises without end, and the
# predictions get worse.
_DF_FLOOR = 4.0


class HeteroscedasticStudentT(AbstractLikelihood):
    """Noise with heavy tails and of a size that depends on the input; the network gives location and scale.

    They are on a last axis of two, the scale as for `HeteroscedasticGaussian`, whose tails it has where the degrees of
    freedom are many. Under a Gaussian, a row far out costs by the square of its distance; here by its logarithm.

    Source: Lange, Little and Taylor 1989; for scales by a network Nix and Weigend 1994.

    Args:
        df: the known degrees of freedom, as for `StudentT`; None learns them, four or more, from 5 on.
        shape: of learned ones: () for one number, or the shape of a datum.

    Raises:
        InputError: degrees of freedom of two or less, or that are not finite.
    """

    discrete: ClassVar[bool] = False
    normalized: ClassVar[bool] = True

    df: Known | None
    raw_df: Float[Array, "..."] | None

    def __init__(self, df: float | Array | np.ndarray | None = None, shape: tuple[int, ...] = ()):
        self.df = None if df is None else known_df(df)
        self.raw_df = raw_df(_DF_FLOOR, shape) if df is None else None

    @classmethod
    def for_data(cls, event_shape: tuple[int, ...], options: DataOptions, summary: Summary | None) -> Parts:
        observation = Standardized.for_data(event_shape, summary)
        likelihood = cls(shape=event_shape if len(event_shape) == 1 else ())
        return Parts(likelihood, observation, identity, event_shape, start_of_pair(observation, summary))

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*event_shape, 2)

    def __call__(self, output: Float[Array, "..."]) -> vd.StudentT:
        df = learned_df(self.raw_df, _DF_FLOOR) if self.df is None else self.df.value
        return vd.StudentT(df, output[..., 0], scale_of_output(output[..., 1]))
