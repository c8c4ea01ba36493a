"""What of a model is trained, and its arrays by name."""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree
from numpyro.distributions import Distribution


class Constant(eqx.Module):
    """Base of modules whose arrays are given, not trained: a scaling of the data, say."""


def is_constant(node: Any) -> bool:
    """Whether a node of a model is fixed: a `Constant`, or a Distribution (a prior, say)."""
    return isinstance(node, (Constant, Distribution))


def trainable(model: PyTree) -> PyTree[bool]:
    """A tree of the shape of `model`, true at the arrays to train: floats outside all constant nodes."""

    def mark(node: Any) -> Any:
        if is_constant(node):
            return jax.tree.map(lambda _: False, node)
        return eqx.is_inexact_array(node)

    return jax.tree.map(mark, model, is_leaf=is_constant)


def _named(node: Any, name: str) -> Iterator[tuple[str, Any]]:
    # NumPyro flattens a distribution's fields in an order that differs from process to process, so a
    # distribution's arrays go by the names of its fields, and only the rest by their paths.
    def is_distribution(value: Any) -> bool:
        return isinstance(value, Distribution)

    for path, leaf in jax.tree_util.tree_flatten_with_path(node, is_leaf=is_distribution)[0]:
        here = name + jax.tree_util.keystr(path)
        if is_distribution(leaf):
            for field in sorted(type(leaf).gather_pytree_data_fields()):
                yield from _named(leaf.__dict__.get(field), f"{here}.{field}")
        elif eqx.is_array(leaf):
            yield here.lstrip("."), leaf


def named_arrays(tree: PyTree) -> dict[str, np.ndarray]:
    """All arrays of a tree by name, on the host, in an order that does not depend on the process."""
    return {name: np.asarray(leaf) for name, leaf in _named(tree, "")}


def with_arrays(tree: PyTree, arrays: dict[str, np.ndarray]) -> PyTree:
    """`tree` with its arrays replaced by those of the same names.

    Raises:
        ValueError: names, shapes or dtypes differ; the message names the first difference.
    """
    like = dict(_named(tree, ""))
    missing, extra = sorted(like.keys() - arrays.keys()), sorted(arrays.keys() - like.keys())
    if missing or extra:
        what = f"lacks {missing[0]!r}" if missing else f"has {extra[0]!r}, which the model lacks"
        raise ValueError(f"the stored arrays do not fit the model: the file {what}")
    for name, leaf in like.items():
        new = arrays[name]
        if new.shape != leaf.shape or new.dtype != leaf.dtype:
            raise ValueError(
                f"the stored arrays do not fit the model: {name} is {new.dtype}{list(new.shape)} in the file, "
                f"{leaf.dtype}{list(leaf.shape)} in the model"
            )
    by_identity = {id(leaf): name for name, leaf in like.items()}

    def replace(leaf: Any) -> Any:
        if not eqx.is_array(leaf):
            return leaf
        new = arrays[by_identity[id(leaf)]]
        return new if isinstance(leaf, np.ndarray) else jax.numpy.asarray(new)

    return jax.tree.map(replace, tree)
