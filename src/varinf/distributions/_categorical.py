from typing import Any

import jax
import jax.numpy as jnp
from numpyro.distributions import CategoricalLogits, constraints

from varinf.distributions._from_arrays import FromArrays


class Categorical(FromArrays, CategoricalLogits):
    """Categorical distribution over 0..K−1, from logits or probabilities.

    Its mean and variance are those of the number of the class, which mean something for ordered classes.

    Args:
        probs: probabilities, `[*batch, K]`; or
        logits: their logarithms up to a constant, `[*batch, K]`.
    """

    # not `real_vector`, which refuses the infinite logits of classes that cannot be
    arg_constraints = {"logits": constraints.dependent}  # noqa: RUF012  (NumPyro's protocol)

    def __init__(self, probs=None, logits=None, *, validate_args: bool | None = None):
        if (probs is None) == (logits is None):
            raise ValueError("Categorical: expected one of probs and logits")
        if probs is not None:
            self._check_probs(probs, constraints.nonnegative, validate_args)  # they need not sum to one
            # a class that cannot be has no part in the gradient, instead of 0 / 0
            possible = jnp.asarray(probs) > 0
            logits = jnp.where(possible, jnp.log(jnp.where(possible, probs, 1.0)), -jnp.inf)
        super().__init__(jnp.asarray(logits, jnp.result_type(logits, float)), validate_args=validate_args)

    def _shapes(self):
        return jnp.shape(self.logits)[:-1], ()

    def log_prob(self, value):
        log_probs = jax.nn.log_softmax(self.logits, axis=-1)
        classes = log_probs.shape[-1]
        value, log_probs = jnp.broadcast_arrays(jnp.expand_dims(jnp.asarray(value), -1), log_probs)
        index = value[..., :1]
        known = (index >= 0) & (index < classes) & (index == jnp.floor(index))
        picked = jnp.take_along_axis(log_probs, jnp.clip(index, 0, classes - 1).astype(int), axis=-1)
        return jnp.where(known, picked, -jnp.inf)[..., 0]

    def entropy(self):
        log_probs = jax.nn.log_softmax(self.logits, axis=-1)
        # of what cannot be 0, and not 0 times infinity
        return -(jnp.exp(log_probs) * jnp.nan_to_num(log_probs, nan=jnp.nan)).sum(-1)

    @property
    def mean(self):
        probs: Any = self.probs
        return probs @ jnp.arange(probs.shape[-1], dtype=probs.dtype)

    @property
    def variance(self):
        probs: Any = self.probs
        apart = jnp.arange(probs.shape[-1], dtype=probs.dtype) - jnp.expand_dims(self.mean, -1)
        return (probs * apart**2).sum(-1)
