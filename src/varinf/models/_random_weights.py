from collections.abc import Callable
from contextlib import suppress
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox.nn import StateIndex
from jaxtyping import Array, Float, PRNGKeyArray, PyTree
from numpyro.distributions import Distribution, Normal

from varinf._compiled import compiled
from varinf._tree import trainable
from varinf.distributions import NoClosedForm
from varinf.errors import InputError
from varinf.models._weight_prior import AbstractWeightPrior, weight_prior
from varinf.objectives import Latent, Request
from varinf.posteriors import POSTERIORS, AbstractFamily, AbstractWeights, log_prob_of, over_weights

START = 1e-3  # of a weight's standard deviation, as a share of the root mean square of its array
LEARNING_RATE = 1e-2  # Adam moves a logarithm by about so much in a step, and those of START have some 5 to go


class RandomWeights(eqx.Module):
    """A tree of which some arrays are random: their posterior and prior, and the rest.

    Args:
        tree: whose arrays the means begin at.
        random: as `BayesianNetwork` has it.
        prior: likewise.
        posterior: likewise.
        scale: likewise.
        key: for what the posterior draws to begin with.

    Raises:
        InputError: no float arrays are chosen; layers that keep a state; an unknown posterior.
    """

    posterior: AbstractWeights
    prior: AbstractWeightPrior
    _fixed: PyTree

    def __init__(
        self,
        tree: PyTree,
        random: Callable[[Any], Any] | PyTree[bool] | None,
        prior: Distribution | AbstractWeightPrior | None,
        posterior: str | AbstractFamily,
        *,
        scale: float,
        key: PRNGKeyArray,
    ):
        if any(map(_is_state, jax.tree.leaves(tree, is_leaf=_is_state))):
            raise InputError(
                "layers that keep a state (BatchNorm, for example) have no place in a model with a posterior on its "
                "weights: take a normalisation of each row by itself (LayerNorm, GroupNorm)"
            )
        weights, self._fixed = eqx.partition(tree, _marks(tree, random))
        if not jax.tree.leaves(weights):
            raise InputError(f"{type(tree).__name__} has no float arrays that could be random; pass one with weights")
        family = POSTERIORS[posterior]() if isinstance(posterior, str) else posterior
        self.posterior = _posterior(family, weights, scale, key)
        self.prior = weight_prior(Normal(0.0, 1.0) if prior is None else prior).built(weights)

    def put(self, weights: PyTree[Array]) -> Any:
        """The tree with given weights in it."""
        return eqx.combine(weights, self._fixed)

    def kl(self, request: Request, *, drawn: bool = False) -> Float[Array, " parts"] | None:
        """KL[q || prior] in nats, where it is asked for and known; `drawn` as `AbstractWeights.kl` has it."""
        if request.closed_form_kl:
            with suppress(NoClosedForm):
                return self.posterior.kl(self.prior(self.posterior.mean()), drawn=drawn)
        return None

    def latent(self, draws: PyTree[Float[Array, "samples ..."]] | None, request: Request) -> Latent:
        """Their terms; without draws, the KL alone."""
        log_prior = log_posterior = jnp.full(request.num_samples, jnp.nan)
        if draws is not None:
            q = jax.lax.stop_gradient(self.posterior) if request.stop_posterior else self.posterior
            log_prior, log_posterior = log_prob_of(self.prior(draws), draws), q.log_prob(draws)
        return Latent("weights", log_prior, log_posterior, self.kl(request, drawn=draws is not None), is_global=True)


def _is_state(leaf: Any) -> bool:
    return isinstance(leaf, StateIndex)


def _marks(tree: PyTree, random: Callable[[Any], Any] | PyTree[bool] | None) -> PyTree[bool]:
    """True at the arrays that are to be random."""
    floats = trainable(tree)
    if random is None:
        return floats
    if jax.tree.structure(random) != jax.tree.structure(tree):  # a function: trees of networks are callable too
        none = jax.tree.map(lambda _: False, tree)
        random = eqx.tree_at(random, none, replace_fn=lambda part: jax.tree.map(lambda _: True, part))
    return jax.tree.map(lambda is_float, chosen: is_float and bool(chosen), floats, random)


@compiled
def _posterior(family: AbstractFamily, weights: PyTree[Array], scale: float, key: PRNGKeyArray) -> AbstractWeights:
    return over_weights(family, weights, _starts(weights, scale), key=key)


def _starts(weights: PyTree[Array], scale: float) -> PyTree[Array]:
    """Standard deviations to begin with: a share of each array's size, or of all arrays' where one is zero."""
    leaves = jax.tree.leaves(weights)
    overall = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in leaves) / sum(leaf.size for leaf in leaves))

    def start(leaf: Array) -> Array:
        own = jnp.sqrt(jnp.mean(leaf**2))
        return jnp.full_like(leaf, scale * jnp.where(own > 0, own, jnp.where(overall > 0, overall, 1.0)))

    return jax.tree.map(start, weights)
