from typing import ClassVar

from jaxtyping import Array, Float
from numpyro.distributions import Normal

from varinf.data import Summary
from varinf.likelihoods._features import identity
from varinf.likelihoods._likelihood import AbstractLikelihood, DataOptions, Parts
from varinf.likelihoods._observation import Standardized
from varinf.likelihoods._parameters import scale_of_output, start_of_pair


class HeteroscedasticGaussian(AbstractLikelihood):
    """Normal noise of a size that depends on the input; the network gives mean and scale on a last axis of two.

    The scale is a softplus of the second output, at least 1e-3, and 1 where that output is zero.

    Source: Nix and Weigend 1994.
    """

    discrete: ClassVar[bool] = False
    normalized: ClassVar[bool] = True

    @classmethod
    def for_data(cls, event_shape: tuple[int, ...], options: DataOptions, summary: Summary | None) -> Parts:
        observation = Standardized.for_data(event_shape, summary)
        return Parts(cls(), observation, identity, event_shape, start_of_pair(observation, summary))

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*event_shape, 2)

    def __call__(self, output: Float[Array, "..."]) -> Normal:
        return Normal(output[..., 0], scale_of_output(output[..., 1]))
