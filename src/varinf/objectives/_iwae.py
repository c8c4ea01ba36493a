import math
from typing import ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Float, PyTree

from varinf._checks import at_least_one, known
from varinf.objectives._objective import AbstractObjective, Metrics
from varinf.objectives._score_function import surrogate_of_weights
from varinf.objectives._terms import Request, Terms


class IWAE(AbstractObjective):
    """The importance-weighted bound E[ln 1/S Σ_s w_s], w = p(x, z) / q(z | x), per datum in nats.

    With one sample it is the Monte Carlo ELBO, and it rises with the number of samples. For local latents
    only: the logarithm of an average over draws of a global latent is not a sum over data, so its estimate
    from a batch is biased. Latents whose draws are not reparameterised (discrete ones, say) get score-function
    gradients (VIMCO), for which there must be two draws or more.

    Sources: Burda, Grosse and Salakhutdinov 2016, equation 8; DReG, Tucker et al. 2019, equation 8; VIMCO, Mnih and
    Rezende 2016, equation 10.

    Args:
        num_samples: S, the draws for each datum.
        estimator: "reparam", or "dreg": doubly reparameterised gradients for the posterior.

    Raises:
        InputError: an unknown name, or no samples.
    """

    bound: ClassVar[str] = "iwae"
    num_samples: int = eqx.field(static=True)
    estimator: str = eqx.field(static=True)

    def __init__(self, num_samples: int = 50, estimator: str = "reparam"):
        self.num_samples = at_least_one("num_samples", num_samples)
        self.estimator = known("estimator of the IWAE bound", estimator, ("reparam", "dreg"))

    @property
    def request(self) -> Request:
        return Request(self.num_samples, closed_form_kl=False, stop_posterior=self.estimator == "dreg")

    def loss(self, terms: Terms) -> tuple[Float[Array, ""], Metrics]:
        log_weights = terms.log_weights()
        bound = terms.mean(_log_mean(log_weights))
        reconstruction = terms.mean(terms.log_likelihood.mean(0))
        elbo = terms.mean(log_weights.mean(0))
        metrics = {"loss": -bound, "iwae": bound, "elbo": elbo, "reconstruction": reconstruction}
        score = surrogate_of_weights(terms, _log_mean, log_weights, estimator=self.estimator)
        return -bound - score, metrics | {"kl": reconstruction - elbo}

    def draw_gradient(self, terms: Terms, gradient: PyTree[Array]) -> PyTree[Array]:
        if self.estimator == "reparam":
            return gradient
        # The gradient at hand carries one power of the normalised weights; DReG for the posterior has two.
        weights = jax.nn.softmax(terms.log_weights(), axis=0)
        return jax.tree.map(lambda g: g * weights.reshape(weights.shape + (1,) * (g.ndim - 2)), gradient)


def _log_mean(log_weights: Float[Array, "samples batch"]) -> Float[Array, " batch"]:
    return jax.nn.logsumexp(log_weights, axis=0) - math.log(len(log_weights))
