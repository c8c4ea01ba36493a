"""What of a model is trained, what of it belongs to a row of the data each, and its arrays by name."""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree
from numpyro.distributions import Distribution

from varinf.errors import InputError


class Constant(eqx.Module):
    """Base of modules whose arrays are given, not trained: a scaling of the data, say."""


def is_distribution(node: Any) -> bool:
    """Whether a node of a model is a Distribution."""
    return isinstance(node, Distribution)


def is_constant(node: Any) -> bool:
    """Whether a node of a model is fixed: a `Constant`, or a Distribution (a prior, say)."""
    return isinstance(node, Constant) or is_distribution(node)


def trainable(model: PyTree) -> PyTree[bool]:
    """A tree of the shape of `model`, true at the arrays to train: floats outside all constant nodes."""

    def mark(node: Any) -> Any:
        if is_constant(node):
            return jax.tree.map(lambda _: False, node)
        return eqx.is_inexact_array(node)

    return jax.tree.map(mark, model, is_leaf=is_constant)


class PerRow(eqx.Module):
    """Marks an array of a model that has a row for each row of the data.

    A step of a fit hands the model the rows of its batch alone, and changes no others.

    Args:
        array: `[num_data, ...]`; of a batch, `[batch, ...]`.
        of_batch: whether it is of a batch.
    """

    array: Float[Array, "rows ..."]
    of_batch: bool = eqx.field(static=True, default=False)


def is_per_row(node: Any) -> bool:
    """Whether a node of a model, or of what an optimiser keeps of it, has a row for each row of the data."""
    return isinstance(node, PerRow)


def per_row(tree: PyTree) -> list[PerRow]:
    """All such nodes."""
    return [node for node in jax.tree.leaves(tree, is_leaf=is_per_row) if is_per_row(node)]


class _Slot:
    """The place of a leaf, which unlike the leaf itself cannot stand in a tree twice."""

    def __init__(self, leaf: Any):
        self.leaf = leaf


def _named(node: Any, name: str) -> Iterator[tuple[str, _Slot]]:
    # NumPyro flattens a distribution's fields in an order that differs from process to process, so a
    # distribution's arrays go by the names of its fields, and only the rest by their paths.
    for path, slot in jax.tree_util.tree_flatten_with_path(node, is_leaf=is_distribution)[0]:
        here = name + jax.tree_util.keystr(path)
        if is_distribution(slot):
            for field in sorted(type(slot).gather_pytree_data_fields()):
                yield from _named(slot.__dict__.get(field), f"{here}.{field}")
        elif eqx.is_array(slot.leaf) or isinstance(slot.leaf, jax.ShapeDtypeStruct):
            yield here.lstrip("."), slot


def _slots(tree: PyTree) -> tuple[PyTree, dict[str, _Slot]]:
    """`tree` with a slot in the place of each leaf, and the slots of the arrays by name."""
    slots = jax.tree.map(_Slot, tree)
    return slots, dict(_named(slots, ""))


def _are_floats(*leaves: Any) -> bool:
    return all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _words(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def named_arrays(tree: PyTree) -> dict[str, np.ndarray]:
    """All arrays of a tree by name, on the host, in an order that does not depend on the process.

    Keys as the words that they are made of.
    """
    return {name: np.asarray(_words(slot.leaf)) for name, slot in _slots(tree)[1].items()}


def with_arrays(tree: PyTree, arrays: dict[str, np.ndarray]) -> PyTree:
    """`tree` with its arrays (or the `jax.ShapeDtypeStruct`s in their place) replaced by those of the same names.

    In the place of a `ShapeDtypeStruct` of floats go floats of any width: its own is that of the moment's default.

    Raises:
        ValueError: names, shapes or dtypes differ; the message names the first difference.
        InputError: in double precision, which is switched off.
    """
    slots, like = _slots(tree)
    missing, extra = sorted(like.keys() - arrays.keys()), sorted(arrays.keys() - like.keys())
    if missing or extra:
        what = f"lacks {missing[0]!r}" if missing else f"has {extra[0]!r}, which the model lacks"
        raise ValueError(f"the stored arrays do not fit the model: the file {what}")
    for name, slot in like.items():
        new, old = arrays[name], _words(slot.leaf)
        fits = new.dtype == old.dtype or (isinstance(old, jax.ShapeDtypeStruct) and _are_floats(new, old))
        if new.shape != old.shape or not fits:
            raise ValueError(
                f"the stored arrays do not fit the model: {name} is {new.dtype}{list(new.shape)} in the file, "
                f"{old.dtype}{list(old.shape)} in the model"
            )
        if isinstance(old, np.ndarray):
            slot.leaf = new
        elif new.dtype != jax.dtypes.canonicalize_dtype(new.dtype):
            raise InputError(f"{name} was saved in double precision; switch on jax_enable_x64")
        elif _is_key(slot.leaf):
            slot.leaf = jax.random.wrap_key_data(jax.device_put(new), impl=jax.random.key_impl(slot.leaf))
        else:
            slot.leaf = jax.device_put(new)
    return jax.tree.map(lambda slot: slot.leaf, slots)
