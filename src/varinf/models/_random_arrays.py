"""A function of random arrays for one datum, evaluated so that what is drawn is as little as possible.

A product of an array of independent normals with a vector has independent normal components, so that they can be
drawn in place of the array: the local reparameterisation trick (Kingma, Salimans and Welling 2015). Here that is done
to any function, by walking through its jaxpr with the arrays not yet drawn: sums, products with what is known and
changes of shape carry their means and variances along, and only where something else comes is a draw made, of what is
there by then. What would not be independent is drawn whole (an array in a product with several vectors at once, as of
a convolution or a sequence; an array used twice), so that the distribution is that of one draw of all arrays for the
datum, whatever the function.
"""

import abc
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jaxtyping import Array, Float

from varinf._in_turn import bind
from varinf.models._taps import taps

_LEAST = 1e-30  # a variance below this, a sum over nothing but zeros, has derivative zero


class Noise(Protocol):
    """Where draws come from."""

    def __call__(self, shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Standard normal numbers, new ones at each call."""
        ...

    def drew(self, index: int | None, way: str) -> None:
        """Told that array number `index` itself is drawn, for the "datum" or "shared"; None: a sum or a product is."""
        ...


class Axes(NamedTuple):
    """Of a product of x with a random array.

    Attributes:
        x: axes of x that are summed over, or paired with the random array's.
        out: axes of the product that are the random array's alone.
    """

    x: Sequence[int]
    out: Sequence[int]


class RandomArray(abc.ABC):
    """An array that is yet to be drawn."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of a draw."""

    @abc.abstractmethod
    def drawn(self, noise: Noise) -> Array:
        """A draw."""

    @abc.abstractmethod
    def moved(self, change: Callable[[Array], Array]) -> "RandomArray":
        """After a change in which each component stays or goes, and none comes twice."""

    @abc.abstractmethod
    def negated(self) -> "RandomArray":
        """Times −1."""

    @abc.abstractmethod
    def times(self, x: Array, multiply: Callable[[Array, Array], Array], axes: Axes, noise: Noise) -> Any:
        """The product with a known array, of which `multiply` gives that of x with one in the place of this."""


class Normal(RandomArray):
    """Independent normal components.

    Args:
        mean: of each.
        variance: of each.
        index: the number of the array that it is, if it is one still and not a sum or a product.
    """

    def __init__(self, mean: Array, variance: Array, index: int | None = None):
        self.mean, self.variance, self.index = mean, variance, index

    @property
    def shape(self) -> tuple[int, ...]:
        return self.mean.shape

    def drawn(self, noise: Noise) -> Array:
        noise.drew(self.index, "datum")
        return self.mean + jnp.sqrt(jnp.maximum(self.variance, _LEAST)) * noise(self.shape)

    def moved(self, change: Callable[[Array], Array]) -> "Normal":
        return Normal(change(self.mean), change(self.variance), self.index)

    def negated(self) -> "Normal":
        return Normal(-self.mean, self.variance, self.index)

    def times(self, x: Array, multiply: Callable[[Array, Array], Array], axes: Axes, noise: Noise) -> Any:
        if math.prod(x.shape) != math.prod(x.shape[axis] for axis in axes.x):
            return multiply(x, self.drawn(noise))
        return Normal(multiply(x, self.mean), multiply(x**2, self.variance))

    def plus(self, other: "Normal | Array") -> "Normal":
        """The sum with another of the same shape, or with a known array."""
        if isinstance(other, Normal):
            return Normal(self.mean + other.mean, self.variance + other.variance)
        return Normal(self.mean + other, self.variance)

    def scaled(self, factor: Array) -> "Normal":
        """Each component times its factor."""
        return Normal(self.mean * factor, self.variance * factor**2)

    def summed(self, total: Callable[[Array], Array]) -> "Normal":
        """Sums over components that are apart."""
        return Normal(total(self.mean), total(self.variance))


class Flipped(RandomArray):
    """A mean, and a deviation that all data share but for its signs (flipout; Wen et al. 2018).

    Args:
        mean: of each component.
        deviation: one draw, less the mean, from a distribution symmetric about it.
        index: the number of the array.
    """

    def __init__(self, mean: Array, deviation: Array, index: int):
        self.mean, self.deviation, self.index = mean, deviation, index

    @property
    def shape(self) -> tuple[int, ...]:
        return self.mean.shape

    def drawn(self, noise: Noise) -> Array:
        if math.prod(self.shape) == max(self.shape, default=1):  # one axis, as biases have
            return self.mean + jnp.sign(noise(self.shape)) * self.deviation
        # With signs, each datum would need an array of its own, as large as weights are.
        noise.drew(self.index, "shared")
        return self.mean + self.deviation

    def moved(self, change: Callable[[Array], Array]) -> "Flipped":
        return Flipped(change(self.mean), change(self.deviation), self.index)

    def negated(self) -> "Flipped":
        return Flipped(-self.mean, -self.deviation, self.index)

    def times(self, x: Array, multiply: Callable[[Array, Array], Array], axes: Axes, noise: Noise) -> Array:
        mean = multiply(x, self.mean)
        before = noise(tuple(n if axis in axes.x else 1 for axis, n in enumerate(x.shape)))
        after = noise(tuple(n if axis in axes.out else 1 for axis, n in enumerate(mean.shape)))
        return mean + jnp.sign(after) * multiply(jnp.sign(before) * x, self.deviation)


def evaluate(closed: ClosedJaxpr, args: Sequence[Array | RandomArray], noise: Noise) -> list[Array]:
    """The outputs of a jaxpr at arguments of which some are yet to be drawn."""
    return [_known(value, noise) for value in _walk(closed.jaxpr, closed.consts, args, noise)]


def _walk(jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Any], noise: Noise) -> list[Any]:
    """The outputs of a jaxpr, which may still have to be drawn."""
    uses = Counter(v for eqn in jaxpr.eqns for v in eqn.invars if not isinstance(v, Literal))
    uses.update(v for v in jaxpr.outvars if not isinstance(v, Literal))
    values: dict[Any, Any] = {}

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, Literal) else values[variable]

    def write(variable: Any, value: Any) -> None:
        # what is used twice must be the same both times
        values[variable] = _known(value, noise) if uses[variable] > 1 else value

    for variable, value in zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True):
        write(variable, value)
    for eqn in jaxpr.eqns:
        for variable, value in zip(eqn.outvars, _apply(eqn, [read(v) for v in eqn.invars], noise), strict=True):
            write(variable, value)
    return [read(v) for v in jaxpr.outvars]


def _known(value: Any, noise: Noise) -> Any:
    return value.drawn(noise) if isinstance(value, RandomArray) else value


def _apply(eqn: Any, args: list[Any], noise: Noise) -> list[Any]:
    """The results of an equation."""
    if any(isinstance(arg, RandomArray) for arg in args):
        name = eqn.primitive.name
        if name in _INLINED:
            inner = eqn.params["jaxpr"]
            closed = inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())
            return _walk(closed.jaxpr, closed.consts, args, noise)
        if name in _RULES and (result := _RULES[name](eqn, args, noise)) is not None:
            return [result]
        args = [_known(arg, noise) for arg in args]
    return bind(eqn, args)


def _move(eqn: Any, args: list[Any], noise: Noise) -> Any:
    """A change of shape, of one array."""
    before, after = eqn.invars[0].aval, eqn.outvars[0].aval
    if before.size < after.size or not jnp.issubdtype(after.dtype, jnp.floating):
        return None
    return args[0].moved(lambda x: bind(eqn, [x])[0])


def _sum(eqn: Any, args: list[Any], noise: Noise) -> Any:
    (x,) = args
    return x.summed(lambda x: bind(eqn, [x])[0]) if isinstance(x, Normal) else None


def _negate(eqn: Any, args: list[Any], noise: Noise) -> Any:
    return args[0].negated()


def _add(eqn: Any, args: list[Any], noise: Noise) -> Any:
    array, other = args if isinstance(args[0], Normal) else args[::-1]
    return array.plus(other) if _is_normal(array, eqn) and not isinstance(other, Flipped) else None


def _subtract(eqn: Any, args: list[Any], noise: Noise) -> Any:
    minuend, subtrahend = args
    return _add(eqn, [minuend, subtrahend.negated() if isinstance(subtrahend, RandomArray) else -subtrahend], noise)


def _multiply(eqn: Any, args: list[Any], noise: Noise) -> Any:
    array, factor = args if isinstance(args[0], Normal) else args[::-1]
    return array.scaled(factor) if _is_normal(array, eqn) and not isinstance(factor, RandomArray) else None


def _divide(eqn: Any, args: list[Any], noise: Noise) -> Any:
    array, divisor = args
    return array.scaled(1 / divisor) if _is_normal(array, eqn) and not isinstance(divisor, RandomArray) else None


def _is_normal(array: Any, eqn: Any) -> bool:
    """Whether an array is normal, and is not spread over a larger result."""
    return isinstance(array, Normal) and array.shape == eqn.outvars[0].aval.shape


def _dot(eqn: Any, args: list[Any], noise: Noise) -> Any:
    """A matrix product. Of two random arrays, the smaller is drawn."""
    if all(isinstance(arg, RandomArray) for arg in args):
        small = min((0, 1), key=lambda i: math.prod(args[i].shape))
        args[small] = _known(args[small], noise)
    own = 0 if isinstance(args[0], RandomArray) else 1
    contracted, paired = eqn.params["dimension_numbers"]
    free = [v.aval.ndim - len(c) - len(b) for v, c, b in zip(eqn.invars, contracted, paired, strict=True)]
    # a product's axes are the paired ones, the left's own, the right's own
    start = len(paired[0]) + (free[0] if own else 0)
    axes = Axes((*contracted[1 - own], *paired[1 - own]), range(start, start + free[own]))

    def multiply(x: Array, array: Array) -> Array:
        return bind(eqn, [x, array] if own else [array, x])[0]

    return args[own].times(args[1 - own], multiply, axes, noise)


def _convolve(eqn: Any, args: list[Any], noise: Noise) -> Any:
    """A convolution by a random kernel, as a matrix product with the patches."""
    images, kernel = args
    params = eqn.params
    plain = params["feature_group_count"] == params["batch_group_count"] == 1 and set(params["lhs_dilation"]) <= {1}
    if isinstance(images, RandomArray) or not plain or min(min(p) for p in params["padding"]) < 0:
        return None
    numbers = params["dimension_numbers"]
    patches = taps(images, kernel.shape, params)  # [batch, *spatial, in, *kernel]
    kernel = kernel.moved(lambda w: w.transpose(numbers.rhs_spec))  # [out, in, *kernel]
    rank = len(kernel.shape)
    summed = tuple(range(patches.ndim - rank + 1, patches.ndim))

    def multiply(x: Array, w: Array) -> Array:
        return lax.dot_general(x, w, ((summed, tuple(range(1, rank))), ((), ())))

    axes = Axes(summed, (patches.ndim - len(summed),))
    product = kernel.times(patches, multiply, axes, noise)  # [batch, *spatial, out]
    back = _back(numbers.out_spec)
    move = lambda y: y.transpose(back)  # noqa: E731
    return product.moved(move) if isinstance(product, RandomArray) else move(product)


def _back(out_spec: Sequence[int]) -> tuple[int, ...]:
    """The order that takes [batch, *spatial, out] to a convolution's own."""
    batch, out, *spatial = out_spec
    here = {batch: 0, out: len(out_spec) - 1} | {axis: i + 1 for i, axis in enumerate(spatial)}
    return tuple(here[axis] for axis in range(len(out_spec)))


_INLINED = ("jit", "closed_call", "remat2")
_MOVES = ("reshape", "transpose", "squeeze", "expand_dims", "broadcast_in_dim", "rev", "slice", "copy")
_RULES: dict[str, Callable[[Any, list[Any], Noise], Any]] = {
    **dict.fromkeys((*_MOVES, "convert_element_type"), _move),
    "neg": _negate,
    "reduce_sum": _sum,
    "add": _add,
    "add_any": _add,
    "sub": _subtract,
    "mul": _multiply,
    "div": _divide,
    "dot_general": _dot,
    "conv_general_dilated": _convolve,
}
