from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree
from numpyro.distributions import Distribution

from varinf.likelihoods import AbstractObservation
from varinf.models._model import AbstractModel
from varinf.models._random_weights import LEARNING_RATE, START, RandomWeights
from varinf.models._weight_prior import AbstractWeightPrior
from varinf.objectives import Batch, Draw, Latent, Request, Terms
from varinf.posteriors import AbstractFamily


class BayesianParts(AbstractModel):
    """A model of which some parts have a posterior on their weights: a VAE with a Bayesian decoder, for example.

    The weights are a global latent beside the model's own. Each sample of an objective has one draw of them, which all
    data of the batch share.

    Args:
        model: any model; its arrays are where the means begin.
        random: which arrays are random: a function of the model that returns a part of it (`lambda vae: vae.decoder`),
            or a tree of truth values of its shape.
        prior: p(w) of each weight by itself: a Distribution, or `FanInPrior` or `LearnedPrior`; N(0, 1) if None.
        posterior: the family of q, or its name in `varinf.posteriors.POSTERIORS`.
        scale: the standard deviations at the start, as a share of an array's own size.
        key: for what the posterior draws to begin with.

    Raises:
        InputError: no float arrays are chosen.
    """

    learning_rate: ClassVar[float] = LEARNING_RATE
    weights: RandomWeights
    observation: AbstractObservation

    def __init__(
        self,
        model: AbstractModel,
        random: Callable[[Any], Any] | PyTree[bool],
        prior: Distribution | AbstractWeightPrior | None = None,
        posterior: str | AbstractFamily = "mean_field",
        *,
        scale: float = START,
        key: PRNGKeyArray,
    ):
        self.weights = RandomWeights(model, random, prior, posterior, scale=scale, key=key)
        self.observation = model.observation

    def draw(self, batch: Batch, request: Request, *, key: PRNGKeyArray) -> Draw:
        weights_key, key = jax.random.split(key)
        weights = self.weights.posterior.sample(weights_key, request.num_samples)
        own = request._replace(num_samples=1)
        keys = jax.random.split(key, request.num_samples)
        # not by `vmap`: a draw may hold distributions, whose shapes would be stale
        draws = [self.at(w).draw(batch, own, key=k) for w, k in zip(_each(weights), keys, strict=True)]
        return Draw((weights, [draw.latents for draw in draws]), [draw.context for draw in draws])

    def score(self, batch: Batch, draw: Draw, request: Request) -> Terms:
        weights, latents = draw.latents
        own = request._replace(num_samples=1)
        each = [
            self.at(w).score(batch, Draw(z, context), own)
            for w, z, context in zip(_each(weights), latents, draw.context, strict=True)
        ]
        log_likelihood = jnp.concatenate([terms.log_likelihood for terms in each])
        joint = [_joined(parts) for parts in zip(*(terms.latents for terms in each), strict=True)]
        return Terms(log_likelihood, (*joint, self.weights.latent(weights, request)), batch)

    def at(self, weights: PyTree[Array]) -> Any:
        """The model with given weights in it."""
        return self.weights.put(weights)

    def sampled(self, *, key: PRNGKeyArray) -> Any:
        """The model with a draw of its random weights in it: a VAE again, say."""
        return self.at(_each(self.weights.posterior.sample(key, 1))[0])


def _each(draws: PyTree[Array]) -> list[PyTree[Array]]:
    return [jax.tree.map(lambda leaf, i=i: leaf[i], draws) for i in range(len(jax.tree.leaves(draws)[0]))]


def _joined(latents: tuple[Latent, ...]) -> Latent:
    """One group of latents under several draws of the weights; its closed-form KL is averaged over these."""
    first = latents[0]
    kls = [latent.kl for latent in latents if latent.kl is not None]
    return Latent(
        first.name,
        jnp.concatenate([latent.log_prior for latent in latents]),
        jnp.concatenate([latent.log_posterior for latent in latents]),
        sum(kls[1:], kls[0]) / len(kls) if kls else None,
        is_global=first.is_global,
        reparameterized=first.reparameterized,
    )
