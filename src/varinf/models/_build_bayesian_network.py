import json
import math
from collections.abc import Callable
from numbers import Real
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import Normal

from varinf._checks import prng_key, sizes
from varinf._tree import Constant
from varinf.data import Summary
from varinf.errors import InputError
from varinf.likelihoods import LIKELIHOODS, Standardized, Supervised
from varinf.models._checked import checked_network, checked_options
from varinf.models._table import WEIGHT_POSTERIORS, WEIGHT_PRIORS
from varinf.models._weight_prior import AbstractWeightPrior, FanInPrior
from varinf.networks import ACTIVATIONS, NetworkPair

if TYPE_CHECKING:
    from varinf.models._bayesian_network import BayesianNetwork

_MOST_WEIGHTS = 2000  # of a full covariance, which has half their square of parameters
_CLASSES_SCALE = 4.0  # of the outputs of each layer, where the last one's are the logits of classes


class _Shift(Constant):
    value: Float[Array, "..."]


class _Outputs(eqx.Module):
    """A network's outputs in the shape that a likelihood takes, with what is added to them."""

    network: Callable[[Array], Array]
    shift: _Shift | None
    shape: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, x: Float[Array, "batch ..."]) -> Float[Array, "batch ..."]:
        output = self.network(x).reshape(len(x), *self.shape)
        return output if self.shift is None else output + self.shift.value


def build_bayesian_network(
    cls: type["BayesianNetwork"],
    *,
    event_shape: tuple[int, ...],
    target_shape: tuple[int, ...] = (),
    likelihood: str = "gaussian",
    num_values: int | None = None,
    variance: str | float | None = None,
    hidden: tuple[int, ...] | None = None,
    network: str = "mlp",
    activation: str = "relu",
    posterior: str = "mean_field",
    estimator: str = "auto",
    prior_scale: float | str = "fan_in",
    summary: tuple[Summary, Summary] | None = None,
    key: PRNGKeyArray,
) -> "BayesianNetwork":
    """A Bayesian network for pairs (x, y), where y is numbers or a class, with x standardised inside.

    Args:
        cls: the class, given when called as `BayesianNetwork.build`.
        event_shape: the shape of a row of x: (height, width), (height, width, channels) or (columns,).
        target_shape: the shape of a row of y: () for a number or a class, (outputs,) for several.
        likelihood: a name in `varinf.likelihoods.LIKELIHOODS`: "categorical" for classes 0..K−1; for numbers
            "gaussian", "heteroscedastic_gaussian", "student_t", "heteroscedastic_student_t", "poisson" or
            "negative_binomial".
        num_values: K, the number of classes; None reads it off the summary.
        variance: of a Gaussian likelihood, a known number in the square of y's units; None learns it.
        hidden: units of the hidden layers ("mlp"), or channels of the convolutions ("conv"). None takes the network's
            own default.
        network: a name in `varinf.networks.NETWORKS`.
        activation: a name in `varinf.networks.ACTIVATIONS`.
        posterior: a name in `varinf.models.WEIGHT_POSTERIORS`: "mean_field" or "low_rank" of all weights, or
            "last_layer", with a full covariance of the last layer, and point estimates of the rest.
        estimator: how a batch sees the weights, as for `BayesianNetwork`.
        prior_scale: s of the prior N(0, s²) of each weight; or a name in `varinf.models.WEIGHT_PRIORS`: "fan_in",
            2 / sqrt(inputs of the layer), and 2 for biases, of classes 4 in the place of 2; or "learned", a scale for
            each array. A number suits one width only.
        summary: of the training data, (x, y): sets the units of both.
        key: for the initial weights.

    Raises:
        InputError: an unknown name, or a setting that the others rule out.
    """
    pair, event_shape, hidden = checked_network(network, event_shape, hidden)
    target_shape = sizes("target_shape", target_shape)
    if math.prod(target_shape) == 1 and target_shape:
        raise InputError(f"expected target_shape=() for one number, got {target_shape}; pass y[:, 0]")
    x_summary, y_summary = (None, None) if summary is None else summary
    options = checked_options(likelihood, variance=variance, num_values=num_values)
    parts = LIKELIHOODS[likelihood].for_data(target_shape, options, y_summary)
    classes = getattr(parts.likelihood, "num_values", None)
    output_shape = parts.likelihood.output_shape(target_shape)
    shift = None
    # What has no units to be standardised in is moved to the data's mean, which weights near zero are to mean: not by
    # the last bias, which the prior would hold to zero. The mean of the numbers of classes means nothing.
    if classes is None and not isinstance(parts.observation, Standardized):
        bias = np.zeros(output_shape) if parts.output_bias is None else parts.output_bias
        shift = _Shift(jnp.asarray(bias, jnp.result_type(float)))
    network_key, posterior_key = jax.random.split(prng_key(key))
    size = math.prod(output_shape)
    built = pair.encoder(event_shape, size, hidden, activation=ACTIVATIONS.check(activation), key=network_key)
    weights = WEIGHT_POSTERIORS[posterior]
    recipe = {
        "model": "bayesian_network",
        "event_shape": event_shape,
        "target_shape": target_shape,
        "likelihood": likelihood,
        "num_values": classes,
        "variance": options.variance,
        "hidden": hidden,
        "network": network,
        "activation": activation,
        "posterior": posterior,
        "estimator": estimator,
        # a number is among the arrays, and another one does not make another model
        "prior_scale": prior_scale if isinstance(prior_scale, str) else 1.0,
    }
    return cls(
        _Outputs(built, shift, output_shape),
        parts.likelihood,
        prior=_prior(prior_scale, classes),
        posterior=weights.family(),
        estimator=estimator,
        random=_last_layer(built, pair) if weights.last_layer else None,
        observation=Supervised(Standardized.for_data(event_shape, x_summary), parts.observation),
        recipe=json.dumps(recipe),
        key=posterior_key,
    )


def _last_layer(network: Any, pair: NetworkPair) -> Callable[[_Outputs], Any]:
    size = sum(leaf.size for leaf in jax.tree.leaves(pair.last_layer(network)))
    if size > _MOST_WEIGHTS:
        raise InputError(
            f"posterior 'last_layer' has a full covariance of a last layer of at most {_MOST_WEIGHTS:,} weights, got "
            f"{size:,}; make the layer before it smaller, or take another posterior"
        )
    return lambda outputs: pair.last_layer(outputs.network)


def _prior(scale: float | str, classes: int | None) -> Normal | AbstractWeightPrior:
    if isinstance(scale, str):
        prior = WEIGHT_PRIORS[scale]
        return prior(_CLASSES_SCALE) if prior is FanInPrior and classes is not None else prior()
    if not isinstance(scale, Real | jax.Array) or not 0 < scale < math.inf:
        raise InputError(f"prior_scale must be positive and finite, or one of {', '.join(WEIGHT_PRIORS)}, got {scale}")
    # as arrays, so that another scale does not compile again
    return Normal(jnp.zeros(()), jnp.asarray(scale, jnp.result_type(float)))
