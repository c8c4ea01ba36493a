"""How a batch sees random weights: the ways to estimate the expected log-likelihood and its gradient."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from varinf._noise import normal
from varinf.models._random_arrays import Flipped, Normal, evaluate
from varinf.posteriors import MeanFieldWeights

ESTIMATORS = ("auto", "weights", "local", "flipout")
_LARGEST = 1 << 15  # numbers of an array that "auto" lets each datum draw for itself

Network = Callable[[PyTree[Array], Array], Array]
"""Weights and a batch of inputs -> outputs, `[batch, ...]`."""


class Plan(NamedTuple):
    """How each datum draws.

    Attributes:
        jaxpr: the network for one datum, at flat weights.
        ways: for each array of weights: "local", "datum" (drawn whole for each datum), "flipout", "shared".
        num_noise: standard normal numbers for a datum.
    """

    jaxpr: ClosedJaxpr
    ways: tuple[str, ...]
    num_noise: int


def plan(network: Network, weights: PyTree[Any], x: Any, estimator: str) -> Plan:
    """Find how a network uses its weights.

    Args:
        network: the function.
        weights: a tree of arrays, or of their shapes.
        x: a batch of inputs, or its shape.
        estimator: "local", "flipout" or "auto".
    """
    leaves, structure = jax.tree.flatten(weights)
    one = jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype)
    jaxpr = jax.make_jaxpr(lambda leaves, x: network(jax.tree.unflatten(structure, leaves), x))(leaves, one)

    def tried(ways: list[str]) -> Plan:
        counted = _Counted(ways)

        def run(leaves: list[Array], x: Array) -> Array:
            arrays = [_random(i, way, leaf, leaf) for i, (way, leaf) in enumerate(zip(ways, leaves, strict=True))]
            return evaluate(jaxpr, [*arrays, x], counted)[0]

        jax.eval_shape(run, leaves, one)
        return Plan(jaxpr, tuple(counted.ways), counted.size)

    found = tried(["flipout" if estimator == "flipout" else "local"] * len(leaves))
    large = [way == "datum" and leaf.size > _LARGEST for way, leaf in zip(found.ways, leaves, strict=True)]
    if estimator == "auto" and any(large):
        return tried(["flipout" if is_large else "local" for is_large in large])
    return found


def per_datum_outputs(
    plan: Plan, q: MeanFieldWeights, x: Float[Array, "batch ..."], num_samples: int, key: PRNGKeyArray
) -> Float[Array, "samples batch ..."]:
    """The network's outputs at weights that are drawn anew for each datum and sample.

    Sources: Kingma, Salimans and Welling 2015 (local); Wen et al. 2018 (flipout).

    Args:
        plan: of this network.
        q: over its weights.
        x: inputs.
        num_samples: draws for each datum.
        key: for the draws.
    """
    locs, scales, variances = map(jax.tree.leaves, (q.loc, q.scale, q.variance))
    own_key, shared_key = jax.random.split(key)
    (noise,) = normal(own_key, [(num_samples, len(x), plan.num_noise)], locs[0].dtype)
    by_datum = [way in ("local", "datum") for way in plan.ways]
    flipped = [scale.shape for scale, datum in zip(scales, by_datum, strict=True) if not datum]
    shared = iter(normal(shared_key, [(num_samples, *shape) for shape in flipped], locs[0].dtype))
    # what goes with the mean: a variance, or a draw's deviation for all data of a sample
    seconds = [
        variance if datum else scale * next(shared)
        for datum, scale, variance in zip(by_datum, scales, variances, strict=True)
    ]
    by_sample = [None if datum else 0 for datum in by_datum]

    def one(seconds: list[Array], x: Array, noise: Array) -> Array:
        arrays = [_random(i, *parts) for i, parts in enumerate(zip(plan.ways, locs, seconds, strict=True))]
        return evaluate(plan.jaxpr, [*arrays, x[None]], _Given(noise))[0][0]

    each = jax.vmap(one, in_axes=(None, 0, 0))
    return jax.vmap(each, in_axes=(by_sample, None, 0))(seconds, x, noise)


def _random(index: int, way: str, loc: Array, second: Array) -> Normal | Flipped:
    return (Normal if way in ("local", "datum") else Flipped)(loc, second, index)


class _Counted:
    """Counts the noise that an evaluation asks for, and what it draws, and gives none."""

    def __init__(self, ways: list[str]):
        self.size, self.ways = 0, list(ways)

    def __call__(self, shape: tuple[int, ...]) -> Array:
        self.size += math.prod(shape)
        return jnp.zeros(shape)

    def drew(self, index: int | None, way: str) -> None:
        if index is not None:
            self.ways[index] = way


class _Given:
    """Hands out a vector of noise piece by piece."""

    def __init__(self, noise: Float[Array, " noise"]):
        self._noise, self._start = noise, 0

    def __call__(self, shape: tuple[int, ...]) -> Array:
        start, self._start = self._start, self._start + math.prod(shape)
        return self._noise[start : self._start].reshape(shape)

    def drew(self, index: int | None, way: str) -> None:
        pass
