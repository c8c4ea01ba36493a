"""The record in which objective and model meet. All that an objective sees of a model is here."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
from jaxtyping import Array, Bool, Float, Int, PyTree

from varinf.errors import InputError


class Request(NamedTuple):
    """What an objective asks of a model; static, known when the step is compiled.

    Attributes:
        num_samples: S, the draws of the latents for each datum.
        closed_form_kl: whether the model should give closed-form KLs where it knows them.
        stop_posterior: whether ln q is taken at stopped parameters, so that gradients reach the posterior
            through the draws alone.
    """

    num_samples: int
    closed_form_kl: bool
    stop_posterior: bool


class Batch(eqx.Module):
    """Some rows of the data, as one step of a fit sees them.

    Attributes:
        data: the rows as the model observes them, `[batch, ...]`, or a tuple of such arrays.
        rows: their numbers in the source.
        mask: false where a row only fills up a short batch.
        num_data: N, how many rows the source has.
        step: the number of the step, from 0.
    """

    data: PyTree[Array]
    rows: Int[Array, " batch"]
    mask: Bool[Array, " batch"]
    num_data: Int[Array, ""]
    step: Int[Array, ""]


class Draw(eqx.Module):
    """The first of a model's two answers: the latents, drawn.

    Attributes:
        latents: the draws, arrays `[samples, batch, ...]` (or `[samples, ...]` for global latents). Where they are not
            reparameterised they must carry no gradient.
        context: what else the second answer needs: the posterior drawn from, the observation scored.
    """

    latents: PyTree[Array]
    context: Any


class Latent(eqx.Module):
    """The terms of one group of latents, in nats.

    Attributes:
        name: what a report calls it.
        log_prior: ln p(z) of the draws, `[samples, batch]` if local, `[samples]` if global. Not a number
            where nothing was drawn, as a model may do where `kl` is known.
        log_posterior: ln q(z) of the draws, likewise.
        kl: KL[q || p] in closed form for each part that factorises, `[batch, parts]` if local, `[parts]` if
            global; None where no closed form is known or none was asked for.
        is_global: whether it is one for the whole data set, not one for each datum.
        reparameterized: whether gradients reach the posterior through the draws. Where not (a discrete latent, say),
            objectives take score-function gradients, so `log_posterior` must have its own by q's parameters.
    """

    name: str = eqx.field(static=True)
    log_prior: Float[Array, "..."]
    log_posterior: Float[Array, "..."]
    kl: Float[Array, "..."] | None
    is_global: bool = eqx.field(static=True, default=False)
    reparameterized: bool = eqx.field(static=True, default=True)

    @property
    def log_ratio(self) -> Float[Array, "..."]:
        """ln q(z) − ln p(z) of the draws, whose mean is the KL.

        Of draws that are not reparameterised, the gradient of ln q is left to the score-function terms.
        """
        log_posterior = self.log_posterior if self.reparameterized else jax.lax.stop_gradient(self.log_posterior)
        return log_posterior - self.log_prior


class Terms(eqx.Module):
    """The second of a model's two answers: all that a bound is made of, in nats.

    Attributes:
        log_likelihood: ln p(x | z) of each datum under each draw.
        latents: the groups of latents.
        batch: the batch that was scored.
    """

    log_likelihood: Float[Array, "samples batch"]
    latents: tuple[Latent, ...]
    batch: Batch

    def mean(self, values: Float[Array, " batch"]) -> Float[Array, ""]:
        """The mean over the data of the batch, without the rows that only fill it up."""
        weight = self.batch.mask.astype(values.dtype)
        return (weight * values).sum() / weight.sum()

    def local_latents(self) -> tuple[Latent, ...]:
        """All the groups of latents, which must be local.

        Raises:
            InputError: one is global. What is a function of log weights is then no sum over data, so that its
                estimate from a batch would be biased.
        """
        if any(latent.is_global for latent in self.latents):
            raise InputError(
                "importance weights are for local latents; this model has a global one, for which a bound from "
                "mini-batches would be biased. Use ELBO"
            )
        return self.latents

    def log_weights(self) -> Float[Array, "samples batch"]:
        """ln p(x, z) − ln q(z | x) of each draw, for models whose latents are all local.

        Raises:
            InputError: one is global.
        """
        total = self.log_likelihood
        for latent in self.local_latents():
            total -= latent.log_ratio
        return total
