from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array
from numpyro import distributions as nd

from varinf.distributions._from_arrays import FromArrays


class MixtureSameFamily(FromArrays, nd.MixtureSameFamily):
    """A mixture of distributions of one family, which are the last batch dimension of one distribution.

    As NumPyro's, and right when returned from `jax.vmap`, provided that its parts are and have equally many batch
    dimensions.

    Args:
        mixing_distribution: a Categorical with batch shape `[*batch]` over `components` classes.
        component_distribution: a distribution with batch shape `[*batch, components]`.
    """

    def _shapes(self):
        components = self.component_distribution
        return (
            jnp.broadcast_shapes(self.mixing_distribution.batch_shape, components.batch_shape[:-1]),
            components.event_shape,
        )


class MixtureGeneral(FromArrays, nd.MixtureGeneral):
    """A mixture of distributions of different families.

    As NumPyro's, and right with components of different batch shapes, which broadcast, and when returned from
    `jax.vmap`, provided that its parts are and have equally many batch dimensions.

    Args:
        mixing_distribution: a Categorical with batch shape `[*batch]` over as many classes as there are components.
        component_distributions: a list of distributions with event shapes that are equal.
        support: the support of the mixture, where those of its components differ.
    """

    def _shapes(self):
        components = self.component_distributions
        return (
            jnp.broadcast_shapes(self.mixing_distribution.batch_shape, *(d.batch_shape for d in components)),
            components[0].event_shape,
        )

    @property
    def component_mean(self):
        means = [jnp.broadcast_to(d.mean, self.shape()) for d in self.component_distributions]
        return jnp.stack(means, axis=self.mixture_dim)

    @property
    def component_variance(self):
        variances = [jnp.broadcast_to(d.variance, self.shape()) for d in self.component_distributions]
        return jnp.stack(variances, axis=self.mixture_dim)

    def component_log_probs(self, value):
        if self._support is None:
            log_probs = [d.log_prob(value) for d in self.component_distributions]
        else:
            value = jnp.broadcast_to(value, jnp.broadcast_shapes(jnp.shape(value), self.shape()))
            log_probs = [_on_its_support(d, value) for d in self.component_distributions]
        stacked = jnp.stack(jnp.broadcast_arrays(*log_probs), axis=-1)
        logits: Any = self.mixing_distribution.logits
        return jax.nn.log_softmax(logits) + stacked


def _on_its_support(d: Any, value: Array) -> Array:
    """The log density, and −∞ with derivative 0 off the support, where a density's formula gives what it may."""
    support = d.support
    if support is None:
        return d.log_prob(value)
    inside = support(value)
    each = inside.reshape(inside.shape + (1,) * d.event_dim)
    return jnp.where(inside, d.log_prob(jnp.where(each, value, support.feasible_like(value))), -jnp.inf)


def Mixture(
    mixing_distribution: nd.Distribution,
    component_distributions: nd.Distribution | Sequence[nd.Distribution],
    *,
    validate_args: bool | None = None,
) -> MixtureSameFamily | MixtureGeneral:
    """A MixtureSameFamily of one distribution, or a MixtureGeneral of a list of them.

    Args:
        mixing_distribution: a Categorical over the components.
        component_distributions: a distribution whose last batch dimension is the components, or a list.
    """
    if isinstance(component_distributions, nd.Distribution):
        return MixtureSameFamily(mixing_distribution, component_distributions, validate_args=validate_args)
    return MixtureGeneral(mixing_distribution, list(component_distributions), validate_args=validate_args)
