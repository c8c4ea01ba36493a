from typing import ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from varinf import distributions as vd
from varinf._checks import known
from varinf.data import Summary
from varinf.likelihoods._features import identity
from varinf.likelihoods._likelihood import AbstractLikelihood, DataOptions, Parts
from varinf.likelihoods._observation import Binarized


class Bernoulli(AbstractLikelihood):
    """Zeros and ones; the network gives their log-odds.

    Args:
        soft_targets: score grey targets by the cross entropy, which is no log-likelihood.
    """

    discrete: ClassVar[bool] = True

    soft_targets: bool = eqx.field(static=True, default=False)

    @property
    def normalized(self) -> bool:
        """Whether it is a mass function: with grey values for targets it is none."""
        return not self.soft_targets

    @classmethod
    def for_data(cls, event_shape: tuple[int, ...], options: DataOptions, summary: Summary | None) -> Parts:
        way = options.binarize or "given"
        known("binarize", way, ("dynamic", "threshold", "none", "given"))
        white = 1.0 if way == "given" else options.scale
        bias = None
        if summary is not None:
            # a pixel that is never, or always, white gets a thousandth, as Burda et al. do in effect
            mean = np.clip(summary.mean / white, 1e-3, 1 - 1e-3)
            bias = np.log(mean) - np.log1p(-mean)
        observation = Binarized(way, white, event_shape=event_shape)
        return Parts(cls(way == "none"), observation, identity, event_shape, bias)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        return event_shape

    def __call__(self, output: Float[Array, "..."]) -> vd.Bernoulli:
        return vd.Bernoulli(logits=output, soft_targets=self.soft_targets)
