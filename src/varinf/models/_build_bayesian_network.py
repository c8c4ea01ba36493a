import json
import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray
from numpyro.distributions import Normal

from varinf.data import Summary
from varinf.errors import InputError
from varinf.likelihoods import LIKELIHOODS, DataOptions, Standardized, Supervised
from varinf.models._table import WEIGHT_POSTERIORS
from varinf.networks import ACTIVATIONS, MLP, NETWORKS

if TYPE_CHECKING:
    from varinf.models._bayesian_network import BayesianNetwork


def build_bayesian_network(
    cls: type["BayesianNetwork"],
    *,
    event_shape: tuple[int, ...],
    likelihood: str = "gaussian",
    num_values: int | None = None,
    variance: str | float | None = None,
    hidden: tuple[int, ...] | None = None,
    network: str = "mlp",
    activation: str = "relu",
    posterior: str = "mean_field",
    estimator: str = "auto",
    prior_scale: float = 1.0,
    summary: tuple[Summary, Summary] | None = None,
    key: PRNGKeyArray,
) -> "BayesianNetwork":
    """A Bayesian network for pairs (x, y), where y is a number or a class, with x standardised inside.

    Args:
        cls: the class, given when called as `BayesianNetwork.build`.
        event_shape: the shape of a row of x: (height, width), (height, width, channels) or (columns,).
        likelihood: a name in `varinf.likelihoods.LIKELIHOODS`: "categorical" for classes 0..K−1; for numbers
            "gaussian", "heteroscedastic_gaussian", "student_t", "poisson" or "negative_binomial".
        num_values: K, the number of classes; None reads it off the summary.
        variance: of a Gaussian likelihood, a known number in the square of y's units; None learns it.
        hidden: units of the hidden layers ("mlp"), or channels of the convolutions ("conv"). None takes the network's
            own default.
        network: a name in `varinf.networks.NETWORKS`.
        activation: a name in `varinf.networks.ACTIVATIONS`.
        posterior: a name in `varinf.models.WEIGHT_POSTERIORS`.
        estimator: how a batch sees the weights, as for `BayesianNetwork`.
        prior_scale: s of the prior N(0, s²) of each weight.
        summary: of the training data, (x, y): sets the units of both.
        key: for the initial weights.

    Raises:
        InputError: an unknown name, or a setting that the others rule out.
    """
    event_shape = tuple(int(n) for n in event_shape)
    pair = NETWORKS[network]
    if len(event_shape) not in pair.event_ranks:
        raise InputError(
            f"network {network!r} takes rows of rank {' or '.join(map(str, pair.event_ranks))}, got rows of shape "
            f"{event_shape}; use network='mlp'"
        )
    hidden = tuple(int(n) for n in (pair.hidden if hidden is None else hidden))
    if min(*event_shape, *hidden, 1) < 1:
        raise InputError(f"sizes must be at least 1, got event_shape={event_shape} and hidden={hidden}")
    if not 0 < prior_scale < math.inf:
        raise InputError(f"prior_scale must be positive and finite, got {prior_scale:g}")
    x_summary, y_summary = (None, None) if summary is None else summary
    options = DataOptions(variance=variance, num_values=num_values)
    parts = LIKELIHOODS[likelihood].for_data((), options, y_summary)
    network_key, posterior_key = jax.random.split(key)
    size = math.prod(parts.likelihood.output_shape(()))
    built = pair.encoder(event_shape, size, hidden, activation=ACTIVATIONS.check(activation), key=network_key)
    classes = getattr(parts.likelihood, "num_values", None)
    # the mean of the numbers of classes means nothing
    if classes is None and parts.output_bias is not None and isinstance(built, MLP):
        built = built.with_output_bias(jnp.asarray(parts.output_bias, float))
    recipe = {
        "model": "bayesian_network",
        "event_shape": event_shape,
        "likelihood": likelihood,
        "num_values": classes,
        "variance": variance,
        "hidden": hidden,
        "network": network,
        "activation": activation,
        "posterior": posterior,
        "estimator": estimator,
        "prior_scale": prior_scale,
    }
    return cls(
        built,
        parts.likelihood,
        prior=Normal(0.0, prior_scale),
        posterior=WEIGHT_POSTERIORS[posterior](),
        estimator=estimator,
        observation=Supervised(Standardized.for_data(event_shape, x_summary), parts.observation),
        recipe=json.dumps(recipe),
        key=posterior_key,
    )
