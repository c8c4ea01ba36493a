from typing import ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from varinf import distributions as vd
from varinf.data import Summary
from varinf.errors import InputError
from varinf.likelihoods._features import Centered
from varinf.likelihoods._likelihood import AbstractLikelihood, DataOptions, Parts
from varinf.likelihoods._observation import Whole

_FLOOR = 1e-3  # of the scale, in units of half the range; a bin of 8-bit pixels is 0.0078 wide


class DiscretizedLogistic(AbstractLikelihood):
    """Whole numbers in a range, 8-bit pixels above all; the network gives location and scale of each.

    Args:
        num_values: how many values there are, 0..num_values−1.
    """

    discrete: ClassVar[bool] = True
    normalized: ClassVar[bool] = True

    num_values: int = eqx.field(static=True, default=256)

    @classmethod
    def for_data(cls, event_shape: tuple[int, ...], options: DataOptions, summary: Summary | None) -> Parts:
        num_values = options.num_values
        if num_values is None:
            num_values = int(options.scale) + 1 if options.scale > 1 else 256
        if num_values < 2:
            raise InputError(f"a discretized_logistic likelihood needs num_values of at least 2, got {num_values}")
        top = num_values - 1
        bias = None
        if summary is not None:
            loc = summary.mean * (2 / top) - 1
            # a logistic's standard deviation is π/√3 of its scale; log(e^s − 1) undoes softplus
            scale = np.maximum(summary.std * (2 / top) * (np.sqrt(3) / np.pi), 0.05)
            bias = np.stack([loc, np.log(np.expm1(scale))], axis=-1)
        observation = Whole("discretized_logistic", top, event_shape=event_shape)
        return Parts(cls(num_values), observation, Centered(float(top)), event_shape, bias)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*event_shape, 2)

    def __call__(self, output: Float[Array, "..."]) -> vd.DiscretizedLogistic:
        half = (self.num_values - 1) / 2
        loc, raw_scale = output[..., 0], output[..., 1]
        scale = vd.softplus(raw_scale) + _FLOOR
        return vd.DiscretizedLogistic(half * (1 + loc), half * scale, self.num_values)
