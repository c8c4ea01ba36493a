import jax.numpy as jnp
from numpyro import distributions as numpyro_distributions

from varinf.distributions._from_arrays import FromArrays


class Independent(FromArrays, numpyro_distributions.Independent):
    """The last batch dimensions of a distribution, taken as one event: log densities are summed.

    As NumPyro's, and right for values with more leading dimensions than the base has, and when returned from
    `jax.vmap`, provided that its base is.

    Args:
        base_dist: a distribution with batch shape `[*batch, *event]`.
        reinterpreted_batch_ndims: how many dimensions make one datum.
    """

    def _shapes(self):
        batch = self.base_dist.batch_shape
        cut = len(batch) - self.reinterpreted_batch_ndims
        return batch[:cut], batch[cut:] + self.base_dist.event_shape

    def log_prob(self, value, *args, **kwargs):
        axes = tuple(range(-self.reinterpreted_batch_ndims, 0))
        return jnp.sum(self.base_dist.log_prob(value, *args, **kwargs), axes)
