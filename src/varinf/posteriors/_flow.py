import abc
import math
from typing import ClassVar, Self, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from varinf.distributions import FlowDistribution
from varinf.errors import InputError
from varinf.networks import MLP, MaskedMLP
from varinf.posteriors._family import AbstractFamily
from varinf.posteriors._mean_field import positive, raw

# smooth, for quasi-Newton methods, and without bound, so that what is learned in the middle goes on outwards: with tanh
# the bound of a bent density ended 0.1 nats lower
ACTIVATION = "silu"
Network = TypeVar("Network", MLP, MaskedMLP)


class AbstractFlowLayer(eqx.Module):
    """An invertible map of a vector, which depends on a context and on weights."""

    @abc.abstractmethod
    def forward(
        self, u: Float[Array, "*batch dim"], context: Float[Array, "*some context"]
    ) -> tuple[Float[Array, "*batch dim"], Float[Array, "*batch"]]:
        """The map, and ln |det| of its Jacobian."""

    @abc.abstractmethod
    def inverse(
        self, u: Float[Array, "*batch dim"], context: Float[Array, "*some context"]
    ) -> tuple[Float[Array, "*batch dim"], Float[Array, "*batch"]]:
        """The inverse of the map, and ln |det| of the Jacobian of `forward` there."""


class AbstractFlow(AbstractFamily):
    """A normal with independent components, and an invertible map after it.

    The parameters are a mean and a scale for each component, and a context that the map depends on. The weights of the
    map are the family's own. With fresh weights it is the identity.

    Source: Rezende and Mohamed 2015.

    Attributes:
        num_layers: of the map.
        context: how many numbers.
        layers: None before the family is `built`.
    """

    triangular: ClassVar[bool] = True
    needs_curvature: ClassVar[bool] = False
    num_layers: eqx.AbstractVar[int]
    context: eqx.AbstractVar[int]
    layers: eqx.AbstractVar[tuple[AbstractFlowLayer, ...] | None]

    @abc.abstractmethod
    def layer(self, dim: int, number: int, *, key: PRNGKeyArray) -> AbstractFlowLayer:
        """The layer of this number, from 0, for vectors of `dim` numbers: the identity."""

    def built(self, dim: int, *, key: PRNGKeyArray) -> Self:
        keys = jax.random.split(key, self.num_layers)
        layers = tuple(self.layer(dim, number, key=keys[number]) for number in range(self.num_layers))
        return eqx.tree_at(lambda family: family.layers, self, layers, is_leaf=lambda node: node is None)

    def num_parameters(self, dim: int) -> int:
        return 2 * dim + self.context

    def __call__(self, parameters: Float[Array, "*batch parameters"]) -> FlowDistribution:
        return FlowDistribution(*self._parts(parameters))

    def moved(
        self, parameters: Float[Array, " parameters"], shift: Float[Array, " dim"], scale: Float[Array, "..."]
    ) -> FlowDistribution:
        return FlowDistribution(*self._parts(parameters), shift, scale)

    def standard(self, dim: int, scale: float | Float[Array, ""] = 1.0) -> Float[Array, " parameters"]:
        return jnp.concatenate([jnp.zeros(dim), jnp.full(dim, raw(scale)), jnp.zeros(self.context)])

    def num_noise(self, dim: int) -> int:
        return dim

    def from_noise(
        self, parameters: Float[Array, " parameters"], noise: Float[Array, "draws noise"]
    ) -> Float[Array, "draws dim"]:
        return self(parameters).from_noise(noise)[0]

    def entropy(self, parameters: Float[Array, " parameters"], noise: Float[Array, "draws noise"]) -> Float[Array, ""]:
        # that of ε is known, and only ln |det| is averaged
        standard = 0.5 * noise.shape[-1] * (1 + math.log(2 * math.pi))
        return standard + self(parameters).from_noise(noise)[1].mean()

    def moments(self, parameters: Float[Array, " parameters"]) -> None:
        return None

    def _parts(self, parameters: Float[Array, "*batch parameters"]) -> tuple[Array, Array, Array, tuple]:
        if self.layers is None:
            raise InputError(f"{type(self).__name__} has no weights yet; call built(dim, key=key) first")
        dim = (parameters.shape[-1] - self.context) // 2
        loc, raw_scale, context = jnp.split(parameters, [dim, 2 * dim], axis=-1)
        return loc, positive(raw_scale), context, self.layers


def identity_start(network: Network, *, key: PRNGKeyArray) -> Network:
    """The same network with a last layer of zeros, so that its outputs are 0, and biases in the layers before it.

    Without these the hidden units would be odd functions, and a target that is even in a component, such as a bent one,
    would have no gradient at the start.
    """
    keys = jax.random.split(key, len(network.layers))
    biases = [jax.random.normal(k, layer.bias.shape) for k, layer in zip(keys, network.layers[:-1], strict=False)]
    network = eqx.tree_at(lambda net: [layer.bias for layer in net.layers[:-1]], network, biases)
    return eqx.tree_at(lambda net: net.layers[-1].weight, network, replace_fn=jnp.zeros_like)


def hidden_sizes(hidden: tuple[int, ...]) -> tuple[int, ...]:
    """`hidden`, or an `InputError` if there is no hidden layer, or one of no units."""
    if not hidden or min(hidden) < 1:
        raise InputError(f"hidden: expected the sizes of one or more layers, each at least 1, got {hidden}")
    return tuple(hidden)
