import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from varinf._checks import at_least_one
from varinf.networks import MaskedMLP
from varinf.posteriors import _monotone as monotone
from varinf.posteriors._flow import ACTIVATION, AbstractFlow, AbstractFlowLayer, hidden_sizes, identity_start


class AutoregressiveLayer(AbstractFlowLayer):
    """Each component shifted and scaled as those before it, and a context, say.

    Before that, it goes through a spline of its own, if there are any. The map takes one pass, its inverse one for each
    component.

    Args:
        network: from the components, masked, and the context to the shifts and scales.
        splines: their numbers, free ones; none where their width is 0.
        backwards: whether the components are taken from the last.
    """

    network: MaskedMLP
    splines: Float[Array, "dim spline"]
    backwards: bool = eqx.field(static=True)

    def forward(
        self, u: Float[Array, "*batch dim"], context: Float[Array, "*some context"]
    ) -> tuple[Float[Array, "*batch dim"], Float[Array, "*batch"]]:
        u = self._ordered(u)
        z, log_slopes = monotone.forward(u, self.network(u, context), self.splines)
        return self._ordered(z), log_slopes.sum(-1)

    def inverse(
        self, u: Float[Array, "*batch dim"], context: Float[Array, "*some context"]
    ) -> tuple[Float[Array, "*batch dim"], Float[Array, "*batch"]]:
        z = self._ordered(u)

        def again(_: Array, u: Array) -> Array:
            return monotone.inverse(z, self.network(u, context), self.splines)[0]

        # after k passes the first k components are right
        u = jax.lax.fori_loop(0, z.shape[-1] - 1, again, jnp.zeros_like(z))
        u, log_slopes = monotone.inverse(z, self.network(u, context), self.splines)
        return self._ordered(u), log_slopes.sum(-1)

    def _ordered(self, u: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        return u[..., ::-1] if self.backwards else u


class AutoregressiveFlow(AbstractFlow):
    """Inverse autoregressive flow: layers in which each component depends on those before it, in alternating order.

    Before the first each component goes through a spline, by which a density of one number need not be normal. Drawing
    takes one pass, with the density of what is drawn; the density of other values takes one for each component.

    Sources: Kingma et al. 2016; the masked networks, Germain et al. 2015.

    Args:
        num_layers: of the map.
        hidden: sizes of the hidden layers of each layer's network; they are made as large as the dimension, less one,
            where that is more, since fewer units could not see all components.
        num_bins: of each component's spline; 0 for none, as in the paper.
        context: numbers, beside those of the normal, that the map depends on.
    """

    num_layers: int = eqx.field(static=True)
    hidden: tuple[int, ...] = eqx.field(static=True)
    num_bins: int = eqx.field(static=True)
    context: int = eqx.field(static=True)
    layers: tuple[AutoregressiveLayer, ...] | None

    def __init__(self, num_layers: int = 2, hidden: tuple[int, ...] = (32,), num_bins: int = 8, context: int = 8):
        self.num_layers = at_least_one("num_layers", num_layers)
        self.hidden = hidden_sizes(hidden)
        self.num_bins, self.context = num_bins, context
        self.layers = None

    def layer(self, dim: int, number: int, *, key: PRNGKeyArray) -> AutoregressiveLayer:
        weight_key, bias_key = jax.random.split(key)
        hidden = tuple(max(size, dim - 1) for size in self.hidden)
        network = MaskedMLP(dim, 2, hidden, context=self.context, activation=ACTIVATION, key=weight_key)
        splines = monotone.identity_splines(dim, self.num_bins if number == 0 else 0)
        return AutoregressiveLayer(identity_start(network, key=bias_key), splines, backwards=number % 2 == 1)
