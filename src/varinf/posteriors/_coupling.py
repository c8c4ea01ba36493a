import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from varinf._checks import at_least_one
from varinf.networks import MLP
from varinf.posteriors import _monotone as monotone
from varinf.posteriors._flow import ACTIVATION, AbstractFlow, AbstractFlowLayer, hidden_sizes, identity_start


class CouplingLayer(AbstractFlowLayer):
    """Some components shifted and scaled as the rest, and a context, say.

    Before that, each goes through a spline of its own, if there are any.

    Args:
        network: from the rest and the context to the shifts and scales.
        splines: their numbers, free ones; none where their width is 0.
        mapped: the numbers of the components that are mapped.
    """

    network: MLP
    splines: Float[Array, "mapped spline"]
    mapped: tuple[int, ...] = eqx.field(static=True)

    def forward(
        self, u: Float[Array, "*batch dim"], context: Float[Array, "*some context"]
    ) -> tuple[Float[Array, "*batch dim"], Float[Array, "*batch"]]:
        return self._map(monotone.forward, u, context)

    def inverse(
        self, u: Float[Array, "*batch dim"], context: Float[Array, "*some context"]
    ) -> tuple[Float[Array, "*batch dim"], Float[Array, "*batch"]]:
        return self._map(monotone.inverse, u, context)

    def _map(self, function, u, context):
        mapped, stay = np.asarray(self.mapped), np.setdiff1d(np.arange(u.shape[-1]), self.mapped)
        given = u[..., stay]
        context = jnp.broadcast_to(context, (*u.shape[:-1], context.shape[-1]))
        new, log_slopes = function(u[..., mapped], self.network(jnp.concatenate([given, context], -1)), self.splines)
        back = np.argsort(np.concatenate([mapped, stay]))
        return jnp.concatenate([new, given], -1)[..., back], log_slopes.sum(-1)


class CouplingFlow(AbstractFlow):
    """Coupling layers: one half of the components is shifted and scaled as the other half says, in turns.

    Where it is first shifted and scaled, a component goes through a spline before, by which a density of one number
    need not be normal. Drawing takes one pass, and so does the density of any value.

    Sources: Dinh, Sohl-Dickstein and Bengio 2017; the splines, Durkan et al. 2019.

    Args:
        num_layers: of the map.
        hidden: sizes of the hidden layers of each layer's network.
        num_bins: of each component's spline; 0 for none.
        context: numbers, beside those of the normal, that the map depends on.
    """

    num_layers: int = eqx.field(static=True)
    hidden: tuple[int, ...] = eqx.field(static=True)
    num_bins: int = eqx.field(static=True)
    context: int = eqx.field(static=True)
    layers: tuple[CouplingLayer, ...] | None

    def __init__(self, num_layers: int = 4, hidden: tuple[int, ...] = (32,), num_bins: int = 8, context: int = 8):
        self.num_layers = at_least_one("num_layers", num_layers)
        self.hidden = hidden_sizes(hidden)
        self.num_bins, self.context = num_bins, context
        self.layers = None

    def layer(self, dim: int, number: int, *, key: PRNGKeyArray) -> CouplingLayer:
        # the second half and the first, then the odd ones and the even ones, so that all come to depend on all
        components = np.arange(dim)
        second = components % 2 == 1 if number // 2 % 2 else components >= dim // 2
        mapped = components if dim == 1 else components[second if number % 2 == 0 else ~second]
        weight_key, bias_key = jax.random.split(key)
        network = MLP(
            (dim - len(mapped) + self.context,), (len(mapped), 2), self.hidden, activation=ACTIVATION, key=weight_key
        )
        splines = monotone.identity_splines(len(mapped), self.num_bins if number < 2 else 0)
        return CouplingLayer(identity_start(network, key=bias_key), splines, tuple(mapped.tolist()))
