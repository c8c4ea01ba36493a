"""Bayesian networks from settings that can be written down, so that a pickle holds settings and arrays and no code."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from varinf._checks import at_least_one, known
from varinf._tree import Constant, with_arrays
from varinf.data import Summary
from varinf.distributions import Normal
from varinf.errors import InputError
from varinf.likelihoods import LIKELIHOODS, DataOptions, Standardized, Supervised
from varinf.models import AbstractWeightPrior, BayesianNetwork, Ensemble, FanInPrior, LearnedPrior
from varinf.networks import MLP
from varinf.posteriors import POSTERIORS

PRIORS = {"fan_in": FanInPrior, "learned": LearnedPrior}


class _Shift(Constant):
    value: Float[Array, "..."]


class _Shifted(eqx.Module):
    """A network, and what is added to its outputs."""

    network: MLP
    shift: _Shift | None

    def __call__(self, x: Float[Array, "batch ..."]) -> Float[Array, "batch ..."]:
        output = self.network(x)
        return output if self.shift is None else output + self.shift.value


def _last_layer(shifted: _Shifted) -> eqx.Module:
    return shifted.network.layers[-1]


# the name of a family of `varinf.posteriors`, and which arrays are random; None: all
_WEIGHT_POSTERIORS: dict[str, tuple[str, Callable[[Any], Any] | None]] = {
    "mean_field": ("mean_field", None),
    "low_rank": ("low_rank", None),
    "last_layer": ("full_rank", _last_layer),
}


def build(
    *,
    n_features: int,
    event_shape: tuple[int, ...],
    hidden: tuple[int, ...],
    activation: str,
    likelihood: str,
    num_values: int | None,
    prior_scale: float | str,
    posterior: str,
    estimator: str,
    n_members: int,
    summary: tuple[Summary, Summary] | None = None,
    key: PRNGKeyArray,
) -> BayesianNetwork | Ensemble:
    """A network, or an ensemble, over standardised inputs, and targets in the units of its likelihood.

    Args:
        n_features: length of a row.
        event_shape: of a target, () or (outputs,).
        hidden: sizes of the hidden layers.
        activation: a name in `varinf.networks.ACTIVATIONS`.
        likelihood: a name in `varinf.likelihoods.LIKELIHOODS`.
        num_values: how many classes; None for what are no classes.
        prior_scale: of p(w), a number or a name in `PRIORS`.
        posterior: "mean_field", "low_rank" or "last_layer".
        estimator: as `BayesianNetwork` has it.
        n_members: of an ensemble; 1 for a network alone.
        summary: of the training inputs and targets; None where the arrays are to be replaced.
        key: for the initial weights.

    Raises:
        InputError: an unknown name, or a number that cannot be.
    """
    known("posterior", posterior, _WEIGHT_POSTERIORS)
    if not all(size >= 1 for size in hidden):
        raise InputError(f"hidden_layer_sizes must be at least 1 each, got {hidden}")
    family, random = _WEIGHT_POSTERIORS[posterior]
    x_summary, y_summary = (None, None) if summary is None else summary
    parts = LIKELIHOODS[likelihood].for_data(event_shape, DataOptions(num_values=num_values), y_summary)
    output_shape = parts.likelihood.output_shape(event_shape)
    shift = None
    if num_values is None and not isinstance(parts.observation, Standardized):
        # counts have no units to be standardised in: weights near zero are to mean the data's mean
        bias = np.zeros(output_shape) if parts.output_bias is None else parts.output_bias
        shift = _Shift(jnp.asarray(bias, jnp.result_type(float)))
    observation = Supervised(Standardized.for_data((n_features,), x_summary), parts.observation)

    def member(key: PRNGKeyArray) -> BayesianNetwork:
        network_key, posterior_key = jax.random.split(key)
        network = MLP((n_features,), output_shape, hidden, activation=activation, key=network_key)
        return BayesianNetwork(
            _Shifted(network, shift),
            parts.likelihood,
            _prior(prior_scale),
            POSTERIORS[family](),
            estimator,
            random=random,
            observation=observation,
            key=posterior_key,
        )

    members = [member(key) for key in jax.random.split(key, at_least_one("n_members", n_members))]
    return members[0] if n_members == 1 else Ensemble(members)


def rebuilt(settings: dict[str, Any], arrays: dict[str, np.ndarray]) -> BayesianNetwork | Ensemble:
    """What `build` made of the same settings, without summary and key, with the arrays that it had."""
    rest = None

    def traced() -> Any:
        nonlocal rest
        # NumPy's arrays stay as they are: tracing would take their double precision from them
        arrays, rest = eqx.partition(build(**settings, key=jax.random.key(0)), lambda x: isinstance(x, jax.Array))
        return arrays

    return with_arrays(eqx.combine(jax.eval_shape(traced), rest), arrays)


def _prior(scale: float | str) -> Normal | AbstractWeightPrior:
    if isinstance(scale, str):
        return PRIORS[known("prior_scale", scale, PRIORS)]()
    if not 0 < scale < math.inf:
        raise InputError(f"prior_scale must be positive and finite, or one of {', '.join(PRIORS)}, got {scale!r}")
    # as arrays, so that another scale does not compile again
    return Normal(jnp.zeros(()), jnp.asarray(scale, jnp.result_type(float)))
