import abc
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree
from numpyro.distributions import Distribution, Normal

from varinf.errors import InputError


class AbstractWeightPrior(eqx.Module):
    """p(w) of the arrays of a network: independent components."""

    @abc.abstractmethod
    def built(self, weights: PyTree[Array]) -> "AbstractWeightPrior":
        """The prior for these arrays."""

    @abc.abstractmethod
    def __call__(self, weights: PyTree[Any]) -> list[Distribution]:
        """For each array in the order of the leaves, the distribution of its components."""


class SamePrior(AbstractWeightPrior):
    """The same distribution for every weight, not trained.

    Args:
        distribution: of one number.

    Raises:
        InputError: it is of more than one.
    """

    distribution: Distribution

    def __init__(self, distribution: Distribution):
        if distribution.batch_shape or distribution.event_shape:
            raise InputError(
                f"expected the prior of one weight, got one of shape {distribution.batch_shape} with events of shape "
                f"{distribution.event_shape}; for a prior of each array's own use FanInPrior or LearnedPrior"
            )
        self.distribution = distribution

    def built(self, weights: PyTree[Array]) -> "SamePrior":
        return self

    def __call__(self, weights: PyTree[Any]) -> list[Distribution]:
        return [self.distribution] * len(jax.tree.leaves(weights))


class FanInPrior(AbstractWeightPrior):
    """N(0, scale² / fan-in), under which wide and narrow layers have outputs of one size; N(0, scale²) for biases.

    Source: Neal 1996, section 2.1.

    Args:
        scale: of the outputs, for inputs of size one. ReLU networks of 50 units did well with 2 on seven small sets of
            regression, and with 4 to 6 on five of classes; less is better where there are more units than the data pay
            for.
        out_axis: the axis of a layer's outputs in its weights: the last, as varinf's and Flax's layers have it, or
            the first, as Equinox's have it.
    """

    scale: float = eqx.field(static=True, default=2.0)
    out_axis: int = eqx.field(static=True, default=-1)

    def built(self, weights: PyTree[Array]) -> "FanInPrior":
        return self

    def __call__(self, weights: PyTree[Any]) -> list[Distribution]:
        return [Normal(0.0, self.scale / self._fan_in(leaf) ** 0.5) for leaf in jax.tree.leaves(weights)]

    def _fan_in(self, weight: Array) -> int:
        return 1 if weight.ndim < 2 else weight.size // weight.shape[self.out_axis]


class LearnedPrior(AbstractWeightPrior):
    """N(0, s²) with a scale s for each array, that is trained with all else: empirical Bayes.

    Source: MacKay 1992, where s is set by the evidence; here by the bound on it.

    Args:
        scale: where each begins.
    """

    scale: float = eqx.field(static=True, default=1.0)
    log_scales: list[Float[Array, ""]] | None = None

    def built(self, weights: PyTree[Array]) -> "LearnedPrior":
        start = [jnp.full((), math.log(self.scale), leaf.dtype) for leaf in jax.tree.leaves(weights)]
        return LearnedPrior(self.scale, start)

    def __call__(self, weights: PyTree[Any]) -> list[Distribution]:
        return [Normal(0.0, jnp.exp(log_scale)) for log_scale in self.log_scales or ()]


def weight_prior(prior: Distribution | AbstractWeightPrior) -> AbstractWeightPrior:
    """A prior of all weights, from that of one."""
    return SamePrior(prior) if isinstance(prior, Distribution) else prior
