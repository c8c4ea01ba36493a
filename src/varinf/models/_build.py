import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from varinf._checks import at_least_one, known, prng_key
from varinf.data import Summary
from varinf.distributions import MultivariateNormalDiag
from varinf.likelihoods import LIKELIHOODS
from varinf.models._checked import checked_network, checked_options
from varinf.models._decoder import Decoder
from varinf.networks import ACTIVATIONS
from varinf.posteriors import LOCAL_POSTERIORS

if TYPE_CHECKING:
    from varinf.models._vae import VAE


def build_vae(
    cls: type["VAE"],
    *,
    event_shape: tuple[int, ...],
    latent_dim: int = 2,
    hidden: tuple[int, ...] | None = None,
    network: str = "mlp",
    activation: str = "relu",
    likelihood: str = "bernoulli",
    posterior: str = "mean_field",
    scale: float = 1.0,
    binarize: str | None = None,
    variance: str | float | None = None,
    num_values: int | None = None,
    num_data: int | None = None,
    precision: str = "float32",
    summary: Summary | None = None,
    key: PRNGKeyArray,
) -> "VAE":
    """A VAE with prior N(0, I), and an encoder and a decoder that mirror each other, or a posterior per datum.

    Args:
        cls: the class, given when called as `VAE.build`.
        event_shape: the shape of a row: (height, width), (height, width, channels) or (columns,).
        latent_dim: numbers in a code.
        hidden: units of the hidden layers of the encoder ("mlp"), or channels of its convolutions ("conv"); the
            decoder has them in reverse. None takes the network's own default.
        network: a name in `varinf.networks.NETWORKS`.
        activation: a name in `varinf.networks.ACTIVATIONS`.
        likelihood: a name in `varinf.likelihoods.LIKELIHOODS`.
        posterior: a name in `varinf.posteriors.LOCAL_POSTERIORS`: a family whose parameters an encoder gives, or
            "per_datum", free ones for each row.
        scale: the stored value that means white, for pixels (255 for 8-bit ones).
        binarize: "dynamic", "threshold", "none" (soft targets), or None where the data are zeros and ones.
        variance: of a Gaussian likelihood: "per_dimension", "shared", or a known number; None: per dimension for
            tables, shared for images.
        num_values: how many values a categorical or discretised likelihood takes; None reads it off the summary.
        num_data: the rows of the data, for "per_datum"; None reads it off the summary.
        precision: of the matrix products, "float32" or "bfloat16".
        summary: of the training data (`varinf.data.summarize`): sets the output bias to the data's mean, and the
            units of a Gaussian likelihood.
        key: for the initial weights.

    Raises:
        InputError: an unknown name, or a setting that the others rule out.
    """
    pair, event_shape, hidden = checked_network(network, event_shape, hidden)
    latent_dim = at_least_one("latent_dim", latent_dim)
    known("precision", precision, ("float32", "bfloat16"))
    options = checked_options(likelihood, scale=scale, binarize=binarize, variance=variance, num_values=num_values)
    parts = LIKELIHOODS[likelihood].for_data(event_shape, options, summary)
    rest = {"activation": ACTIVATIONS.check(activation), "dtype": precision}
    encoder_key, decoder_key, family_key = jax.random.split(prng_key(key), 3)

    def network_to(size: int) -> Callable:
        return pair.encoder(parts.features_shape, size, hidden, **rest, key=encoder_key)

    num_data = summary.count if num_data is None and summary is not None else num_data
    encoder = LOCAL_POSTERIORS[posterior].for_data(
        latent_dim, num_data=num_data, features=parts.features, network=network_to, key=family_key
    )
    output_shape = parts.likelihood.output_shape(event_shape)
    decoder = pair.decoder(latent_dim, output_shape, hidden, **rest, key=decoder_key)
    bias = jax.device_put(np.zeros(output_shape) if parts.output_bias is None else np.asarray(parts.output_bias, float))
    recipe = {
        "model": "vae",
        "event_shape": event_shape,
        "latent_dim": latent_dim,
        "hidden": hidden,
        "network": network,
        "activation": activation,
        "likelihood": likelihood,
        "posterior": posterior,
        "scale": options.scale,
        "binarize": options.binarize,
        "variance": options.variance,
        "num_values": getattr(parts.likelihood, "num_values", None),
        "num_data": getattr(encoder, "num_data", None),
        "precision": precision,
    }
    return cls(
        prior=MultivariateNormalDiag(jnp.zeros(latent_dim), jnp.ones(latent_dim)),
        encoder=encoder,
        decoder=Decoder(decoder.with_output_bias(bias), parts.likelihood, len(event_shape)),
        observation=parts.observation,
        recipe=json.dumps(recipe),
    )
