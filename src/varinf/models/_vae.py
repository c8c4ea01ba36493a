import contextlib
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import Distribution

from varinf.distributions import FlowDistribution, NoClosedForm, kl_per_dimension
from varinf.errors import InputError
from varinf.likelihoods import AbstractObservation, AsGiven
from varinf.models._build import build_vae
from varinf.models._centre import centre
from varinf.models._model import AbstractModel
from varinf.objectives import Batch, Draw, Latent, Request, Terms


class VAE(AbstractModel):
    """A variational auto-encoder: a code z for each datum x, by p(z), q(z | x) and p(x | z).

    Source: Kingma and Welling 2014; Rezende, Mohamed and Wierstra 2014.

    Args:
        prior: p(z), a Distribution over a vector, which stays as it is; or a module that returns one when called
            without arguments, which is trained.
        encoder: `[*batch, *event]` -> q(z | x) with batch shape `[*batch]`; of any kind that can be drawn from. Where
            the draws are not reparameterised (discrete ones, say), gradients are by the score function.
        decoder: z `[*batch, dim]` -> p(x | z) with batch shape `[*batch]`.
        observation: how stored rows become what the decoder's distribution is over; by default as given.
        recipe: how `build` made it, as JSON, which lets `varinf.load` make it again; None for parts of one's own.
    """

    prior: Distribution | Callable[[], Distribution]
    encoder: Callable[[Array], Distribution]
    decoder: Callable[[Array], Distribution]
    observation: AbstractObservation = AsGiven()
    recipe: str | None = eqx.field(static=True, default=None)

    build = classmethod(build_vae)

    def draw(self, batch: Batch, request: Request, *, key: PRNGKeyArray) -> Draw:
        q, shape = self.encoder(batch.data), (request.num_samples,)
        if isinstance(q, FlowDistribution) and not request.stop_posterior:
            # its log density comes with the draws, at no cost
            return Draw(q.sample_with_intermediates(key, shape), q)
        return Draw(q.rsample(key, shape) if q.has_rsample else jax.lax.stop_gradient(q.sample(key, shape)), q)

    def score(self, batch: Batch, draw: Draw, request: Request) -> Terms:
        z, *known = draw.latents if isinstance(draw.latents, tuple) else (draw.latents,)
        q: Any = draw.context
        prior: Any = prior_of(self)
        kl = None
        if request.closed_form_kl:
            with contextlib.suppress(NoClosedForm):
                kl = kl_per_dimension(q, prior)
        log_q = (jax.lax.stop_gradient(q) if request.stop_posterior else q).log_prob(z, *known)
        latent = Latent("z", prior.log_prob(z), log_q, kl, reparameterized=q.has_rsample)
        log_likelihood = self.decoder(z).log_prob(batch.data) + self.observation.log_det()
        return Terms(jnp.asarray(log_likelihood), (latent,), batch)

    def encode(self, x: Any) -> Distribution:
        """q(z | x) for rows as they are stored, `[batch, *event]`; random observations count by their mean."""
        rows = self.observation.prepare(x if isinstance(x, Tracer) else np.asarray(x))
        return self.encoder(self.observation(jnp.asarray(rows), key=None))

    def decode(self, z: Float[Array, "*batch dim"]) -> Distribution:
        """p(x | z) in the units of the data; of pixels under a Bernoulli likelihood, continuous or not, in [0, 1]."""
        z, shape = jnp.asarray(z), prior_of(self).event_shape
        if z.shape[max(0, z.ndim - len(shape)) :] != shape:
            raise InputError(f"expected codes of shape {shape}, as the prior's are, got {z.shape[1:]}")
        return self.observation.restore(self.decoder(z))

    def reconstruct(self, x: Any) -> Array | np.ndarray:
        """The mean of p(x | z) at the posterior mean of z, for rows `[batch, *event]`; at its mode if z is discrete."""
        z = centre(self.encode(x))
        return _as_stored(lambda: self.decode(z).mean, self, z)

    def sample(self, num_samples: int, *, key: PRNGKeyArray, mean: bool = False) -> Array | np.ndarray:
        """Draws from p(x), `[num_samples, *event]`; with `mean`, the decoder's mean at draws of z."""
        z_key, x_key = jax.random.split(key)
        z: Any = prior_of(self).sample(z_key, (num_samples,))

        def values() -> Any:
            p: Any = self.decode(z)
            return p.mean if mean else p.sample(x_key)

        return _as_stored(values, self, z)


def _as_stored(values: Callable[[], Any], *parts: Any) -> Array | np.ndarray:
    """Values in the units of the data: on the host in double precision, in which columns such as 1e9 ± 1 keep their
    digits; where the parts that they are made of are being traced, of the user's own precision."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(parts)):
        return jnp.asarray(values())
    with jax.enable_x64(True):
        return np.asarray(values())


def prior_of(model: Any) -> Distribution:
    """p(z), which a model may hold as it is or as a module that returns it."""
    return model.prior if isinstance(model.prior, Distribution) else model.prior()
