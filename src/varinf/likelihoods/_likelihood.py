import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
from jaxtyping import Array, Float
from numpyro.distributions import Distribution

from varinf.data import Summary
from varinf.likelihoods._observation import AbstractObservation


class DataOptions(NamedTuple):
    """What a user may say of the data and of the noise.

    Attributes:
        scale: the stored value that means white, for pixels; what values are divided by.
        binarize: "dynamic", "threshold", "none", or None: the rows hold zeros and ones.
        variance: of a Gaussian: "per_dimension" or "shared", both learned; or a known number, in the square of
            the data's units; None: per dimension for tables, shared for images.
        num_values: how many values a categorical or discretised one takes, 0..num_values−1.
    """

    scale: float = 1.0
    binarize: str | None = None
    variance: str | float | None = None
    num_values: int | None = None


class Parts(NamedTuple):
    """What follows for a model from the choice of a likelihood and from the data.

    Attributes:
        likelihood: network output -> distribution.
        observation: stored rows -> what the distribution is over.
        features: observations -> what an encoder's network sees.
        features_shape: the shape of one row of those.
        output_bias: the output of a decoder's network at which the mean is that of the data; None without data.
    """

    likelihood: "AbstractLikelihood"
    observation: AbstractObservation
    features: Callable[[Array], Array]
    features_shape: tuple[int, ...]
    output_bias: Any


class AbstractLikelihood(eqx.Module):
    """What the output of a network means: a distribution for each element of the data.

    Attributes:
        discrete: whether it is a mass function, so that ln p(x) has a meaning in bits.
        normalized: whether it is a proper density or mass function.
    """

    discrete: eqx.AbstractClassVar[bool]
    normalized: eqx.AbstractVar[bool]

    @classmethod
    @abc.abstractmethod
    def for_data(cls, event_shape: tuple[int, ...], options: DataOptions, summary: Summary | None) -> Parts:
        """The likelihood for rows of a shape, with all that goes with it.

        Raises:
            InputError: an option that it cannot take.
        """

    @abc.abstractmethod
    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the network's output for one datum; −1 for a length that any output may have."""

    @abc.abstractmethod
    def __call__(self, output: Float[Array, "..."]) -> Distribution:
        """The distribution of each element: batch shape `[*batch, *event]`."""
