import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class LinearWarmup(eqx.Module):
    """A weight that rises in a line from 0 at step 0 to `value` at step `steps`, and stays there.

    For the `beta` of an `ELBO`. Its numbers are traced, so other values do not compile again.
    """

    value: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    steps: Float[Array, ""] = eqx.field(converter=lambda steps: jnp.asarray(steps, jnp.result_type(float)))

    def __call__(self, step: Array) -> Float[Array, ""]:
        return self.value * jnp.clip(step / jnp.maximum(self.steps, 1), 0, 1)
