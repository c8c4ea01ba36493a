import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from varinf._checks import at_least_one
from varinf.networks import MLP
from varinf.posteriors import _monotone as monotone
from varinf.posteriors._flow import AbstractFlow, AbstractFlowLayer, hidden_sizes, identity_start


class CouplingLayer(AbstractFlowLayer):
    """Some components mapped by increasing functions that depend on the others, which stay, and on a context.

    Args:
        network: from those that stay, and the context, to the numbers that make the functions.
        mapped: the numbers of the components that are mapped.
    """

    network: MLP
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
        new, log_slopes = function(u[..., mapped], self.network(jnp.concatenate([given, context], -1)))
        back = np.argsort(np.concatenate([mapped, stay]))
        return jnp.concatenate([new, given], -1)[..., back], log_slopes.sum(-1)


class CouplingFlow(AbstractFlow):
    """Neural spline flow with coupling layers: one half of the components is mapped as the other half says, in turns.

    Drawing takes one pass, and so does the density of any value. Of a single component the map is a spline whose
    numbers are free.

    Sources: Dinh, Sohl-Dickstein and Bengio 2017; the splines, Durkan et al. 2019.

    Args:
        num_layers: of the map.
        hidden: sizes of the hidden layers of each layer's network.
        num_bins: of the splines by which a component is mapped; 0 for affine maps.
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
        outputs = monotone.num_parameters(self.num_bins)
        network = MLP(
            (dim - len(mapped) + self.context,), (len(mapped), outputs), self.hidden, activation="tanh", key=weight_key
        )
        return CouplingLayer(identity_start(network, key=bias_key), tuple(mapped.tolist()))
