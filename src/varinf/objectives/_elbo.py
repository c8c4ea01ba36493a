from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from varinf._checks import at_least_one, known
from varinf.errors import InputError
from varinf.objectives._objective import AbstractObjective, Metrics
from varinf.objectives._score_function import surrogate_of_mean
from varinf.objectives._terms import Latent, Request, Terms


class ELBO(AbstractObjective):
    """The evidence lower bound, E_q[ln p(x | z)] − KL[q(z) || p(z)], per datum in nats.

    The metric `elbo` is always this bound; `beta` and `free_bits` change the loss alone. The KL of a global
    latent is divided by the number of data. Latents whose draws are not reparameterised (discrete ones, say) get
    score-function gradients with a leave-one-out baseline, for which there must be two draws or more.

    Sources: Kingma and Welling 2014; β, Higgins et al. 2017; free bits, Kingma et al. 2016 (appendix C.8);
    sticking the landing, Roeder et al. 2017; the baseline, Kool, van Hoof and Welling 2019.

    Args:
        num_samples: draws of the latents for each datum.
        beta: weight of the KL in the loss, a number or a schedule of the step.
        free_bits: nats below which the KL of a part (a dimension, where q and p factorise), averaged over the
            batch, is not pressed further. Needs a closed form.
        kl: "analytic", "monte_carlo", or "auto": analytic where a closed form is known.
        estimator: "reparam", or "stl": Monte Carlo KL with ln q at stopped parameters.

    Raises:
        InputError: an unknown name, or settings that exclude each other.
    """

    bound: ClassVar[str] = "elbo"
    num_samples: int = eqx.field(static=True)
    beta: Float[Array, ""] | Callable
    free_bits: float = eqx.field(static=True)
    kl: str = eqx.field(static=True)
    estimator: str = eqx.field(static=True)

    def __init__(
        self,
        num_samples: int = 1,
        beta: float | Callable = 1.0,
        free_bits: float = 0.0,
        kl: str = "auto",
        estimator: str = "reparam",
    ):
        self.num_samples = at_least_one("num_samples", num_samples)
        if isinstance(beta, int | float) and not beta >= 0:
            raise InputError(f"beta must not be negative, got {beta:g}")
        self.beta = beta if callable(beta) else jnp.asarray(beta, jnp.result_type(float))
        if free_bits < 0:
            raise InputError(f"free_bits must not be negative, got {free_bits:g}")
        self.free_bits = free_bits
        self.kl = known("kl", kl, ("auto", "analytic", "monte_carlo"))
        self.estimator = known("estimator of the ELBO", estimator, ("reparam", "stl"))
        if estimator == "stl" and kl == "analytic":
            raise InputError("estimator='stl' needs a Monte Carlo KL, got kl='analytic'; leave kl out")
        if free_bits and not self.request.closed_form_kl:
            raise InputError("free_bits needs a KL in closed form; leave out kl='monte_carlo' and estimator='stl'")

    @property
    def request(self) -> Request:
        stl = self.estimator == "stl"
        return Request(self.num_samples, closed_form_kl=self.kl != "monte_carlo" and not stl, stop_posterior=stl)

    def loss(self, terms: Terms) -> tuple[Float[Array, ""], Metrics]:
        reconstruction = terms.mean(terms.log_likelihood.mean(0))
        kls = [self._kl(terms, latent) for latent in terms.latents]
        kl = sum((plain for plain, _ in kls), jnp.zeros_like(reconstruction))
        pressed = sum((floored for _, floored in kls), jnp.zeros_like(reconstruction))
        beta = self.beta(terms.batch.step) if callable(self.beta) else self.beta
        loss = beta * pressed - reconstruction
        score = surrogate_of_mean(terms, *self._integrand(terms, beta), estimator=self.estimator)
        return loss - score, {"loss": loss, "elbo": reconstruction - kl, "reconstruction": reconstruction, "kl": kl}

    def draw_gradient(self, terms: Terms, gradient: PyTree[Array]) -> PyTree[Array]:
        return gradient

    def _integrand(self, terms: Terms, beta: Array) -> tuple[Float[Array, "samples batch"], Float[Array, " samples"]]:
        """What of −loss depends on each draw: for each datum, and the part of the global latents."""
        local, shared = terms.log_likelihood, jnp.zeros_like(terms.log_likelihood[:, 0])
        for latent in terms.latents:
            if latent.kl is None and latent.is_global:
                shared -= beta * latent.log_ratio / terms.batch.num_data
            elif latent.kl is None:
                local -= beta * latent.log_ratio
        return local, shared

    def _kl(self, terms: Terms, latent: Latent) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The KL of a group of latents per datum, as it is and with its free bits."""
        share = 1 / terms.batch.num_data if latent.is_global else 1.0
        if latent.kl is None:
            if self.kl == "analytic":
                raise InputError(f"no closed form is known for the KL of {latent.name}; use kl='auto'")
            if self.free_bits:
                raise InputError(f"free_bits needs a KL in closed form, and none is known for {latent.name}")
            sampled = latent.log_ratio.mean(0)
            kl = share * (sampled if latent.is_global else terms.mean(sampled))
            return kl, kl
        if latent.is_global:
            kl = share * latent.kl.sum()
            return kl, kl
        weight = terms.batch.mask.astype(latent.kl.dtype)
        parts = jnp.matmul(weight, latent.kl, precision="highest") / weight.sum()
        kl = parts.sum()
        return kl, jnp.maximum(parts, self.free_bits).sum() if self.free_bits else kl
