from typing import Any

import jax.numpy as jnp
from jaxtyping import Array
from numpyro.distributions import Distribution, Independent


def centre(q: Distribution) -> Array:
    """One value that stands for q: its mean, or its mode where its values can be counted out, since means are none."""
    base: Any = q
    while isinstance(base, Independent):
        base = base.base_dist
    if not base.has_enumerate_support:
        return jnp.asarray(q.mean)
    values = jnp.asarray(base.enumerate_support())
    best = base.log_prob(values).argmax(0)
    return jnp.take_along_axis(values, best[None], 0)[0]
