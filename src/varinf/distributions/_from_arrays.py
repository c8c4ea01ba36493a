import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Shaped
from numpyro.distributions import Distribution, constraints


class FromArrays(Distribution):
    """A distribution whose shapes are read off its arrays, so that they are right however it came about.

    NumPyro's distributions keep the shapes that they were made with: one that `jax.vmap` or `jax.tree.map` hands
    back has arrays of one shape and a `batch_shape` of another, and fails to draw. As the shapes are no part of the
    pytree's structure here, structures of distributions of different batch shapes are equal.
    """

    def _shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The batch shape and the event shape."""
        raise NotImplementedError

    # NumPyro sets these when it makes and when it unflattens a distribution
    @property
    def _batch_shape(self) -> tuple[int, ...]:
        return self._shapes()[0]

    @_batch_shape.setter
    def _batch_shape(self, value: Any) -> None:
        pass

    @property
    def _event_shape(self) -> tuple[int, ...]:
        return self._shapes()[1]

    @_event_shape.setter
    def _event_shape(self, value: Any) -> None:
        pass

    def validate_args(self, strict: bool = True) -> None:
        """NumPyro's check, by NumPy: JAX would compile each of its operations, and trace them where nothing is known.

        Args:
            strict: whether traced arguments, which cannot be checked, are an error.

        Raises:
            ValueError: an argument is not what its constraint says.
            RuntimeError: it is traced, if `strict`.
        """
        for name, value in self.get_args().items():
            constraint = self.arg_constraints[name]
            if constraints.is_dependent(constraint):
                continue
            if not isinstance(value, Tracer):
                self._check(name, value, constraint)
            elif strict:
                raise RuntimeError("Cannot validate arguments inside jitted code.")

    def _check(self, name: str, value: Any, constraint: Any) -> None:
        if not np.all(constraint(np.asarray(value))):
            raise ValueError(f"{type(self).__name__} distribution got invalid {name} parameter.")

    def _check_probs(self, probs: Any, constraint: Any, validate_args: bool | None) -> None:
        """The check, where it is asked for and can be, of probabilities, of which the logits alone are kept."""
        if (self._validate_args if validate_args is None else validate_args) and not isinstance(probs, Tracer):
            self._check("probs", probs, constraint)


_LONG = 64  # numbers of a row


def in_long_rows(log_prob: Callable[[Any, Any], Array]) -> Callable[[Any, Any], Array]:
    """The `log_prob` of a distribution of scalars, worked out with the last axes as one.

    XLA's loops run along the last axis: 28 pixels, or one channel, are too few for its vectors.
    """

    @functools.wraps(log_prob)
    def call(self: Distribution, value: Any) -> Array:
        shapes = [jnp.shape(array) for array in (value, *jax.tree.leaves(self))]
        shape = jnp.broadcast_shapes(*shapes)
        merged = next((n for n in range(1, len(shape)) if math.prod(shape[-n:]) >= _LONG), 1)
        if merged == 1 or any(own and own[-merged:] != shape[-merged:] for own in shapes):
            return log_prob(self, value)
        one, other = jax.tree.map(
            lambda array: jnp.reshape(array, (*jnp.shape(array)[:-merged], -1)) if jnp.ndim(array) else array,
            (self, value),
        )
        return log_prob(one, other).reshape(shape)

    return call


def same_rank(
    vectors: list[Shaped[Array, "..."]], matrix: Shaped[Array, "... rows columns"]
) -> tuple[list[Shaped[Array, "..."]], Shaped[Array, "... rows columns"]]:
    """Vectors and a matrix with leading axes of size one, where they have fewer batch axes than the others.

    Without these an axis that `jax.vmap` puts in front of each would be matched with an axis of the batch.
    """
    rank = max(matrix.ndim - 2, *(vector.ndim - 1 for vector in vectors))
    lead = lambda array, own: array.reshape((1,) * (rank + own - array.ndim) + array.shape)  # noqa: E731
    return [lead(vector, 1) for vector in vectors], lead(matrix, 2)


def solve_lower(tril: Shaped[Array, "*#batch dim dim"], vectors: Shaped[Array, "... dim"]) -> Shaped[Array, "... dim"]:
    """L⁻¹ v; the vectors that share an L are the columns of one solve."""
    dim = tril.shape[-1]
    # one L for all is not copied for each
    batch = () if tril.size == dim**2 else vectors.shape[vectors.ndim - tril.ndim + 1 : -1]
    columns = jnp.moveaxis(vectors.reshape(-1, *batch, dim), 0, -1)
    solved = jax.scipy.linalg.solve_triangular(
        jnp.broadcast_to(tril.reshape(tril.shape if batch else (dim, dim)), (*batch, dim, dim)), columns, lower=True
    )
    return jnp.moveaxis(solved, -1, 0).reshape(vectors.shape)
