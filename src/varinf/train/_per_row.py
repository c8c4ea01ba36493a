"""How a step touches only those rows of per-row arrays that are in its batch."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

from varinf._tree import PerRow, is_per_row, per_row
from varinf.errors import InputError
from varinf.objectives import Batch


def check_rows(params: PyTree, opt_state: PyTree, num_data: int) -> None:
    """Refuse per-row arrays that have not a row for each row of the data.

    Raises:
        InputError: they were made for other data; or the optimiser keeps something else of them.
    """
    for name, tree in (("model", params), ("optimizer", opt_state)):
        for array in jax.tree.leaves(per_row(tree)):
            if array.ndim and len(array) == num_data:
                continue
            if name == "model":
                raise InputError(
                    f"the model has parameters for each of {len(array)} rows, and there are {num_data} to fit; "
                    f"make it with num_data={num_data}"
                )
            raise InputError(
                f"the optimizer keeps an array of shape {array.shape} of parameters of {num_data} rows, which is not "
                "of each row its own; take one that does, such as Adam"
            )


def gathered(tree: PyTree, rows: Int[Array, " batch"]) -> PyTree:
    """`tree` with the rows of a batch in the place of per-row arrays."""

    def gather(node: Any) -> Any:
        return jax.tree.map(lambda array: array[rows], PerRow(node.array, of_batch=True)) if is_per_row(node) else node

    return jax.tree.map(gather, tree, is_leaf=is_per_row)


def scattered(whole: PyTree, new: PyTree, batch: Batch) -> PyTree:
    """`new`, with its rows of a batch put in their places in the per-row arrays of `whole`."""

    def scatter(old: Any, new: Any) -> Any:
        if not is_per_row(old):
            return new

        def put(array: Array, rows: Array) -> Array:
            # a row that only fills up the batch goes to a place that is not there
            places = jnp.where(batch.mask, batch.rows, len(array))
            return array.at[places].set(rows, mode="drop")

        return PerRow(jax.tree.map(put, old.array, new.array))

    return jax.tree.map(scatter, whole, new, is_leaf=is_per_row)


def updated(
    update: Callable, grads: PyTree, opt_state: PyTree, params: PyTree, visits: Int[Array, ""]
) -> tuple[PyTree, PyTree]:
    """An optimiser's updates and state, where the moments of a row know how often the row was visited.

    Adam divides by 1 − β^t for the moments' start at zero. The moments of a row that is visited once in an epoch have
    made an epoch's number of steps, not t: with t, the first updates would be 3 to 6 times too large. Schedules go on
    by steps.

    Args:
        update: an Optax optimiser's.
        grads: of the loss at `params`.
        opt_state: the optimiser's, with the rows of the batch in per-row arrays.
        params: likewise.
        visits: how often each row of the batch was visited before, as often as all others.
    """
    of_steps = update(grads, opt_state, params)
    if not per_row(params):
        return of_steps
    # what is not used of the two, the compiler leaves out
    of_visits = update(grads, _with_counts(opt_state, visits), params)
    return jax.tree.map(lambda one, other: other if is_per_row(one) else one, of_steps, of_visits, is_leaf=is_per_row)


def _with_counts(opt_state: PyTree, visits: Int[Array, ""]) -> PyTree:
    """An optimiser's state in which the parts that hold moments of per-row arrays count visits."""

    def is_counted(node: Any) -> bool:
        # moments are trees like the model, which is no tuple; a tuple holds other parts, with counts of their own
        return "count" in getattr(node, "_fields", ()) and any(
            per_row(field) for field in node if not isinstance(field, tuple)
        )

    def count(node: Any) -> Any:
        return node._replace(count=visits.astype(node.count.dtype)) if is_counted(node) else node

    return jax.tree.map(count, opt_state, is_leaf=is_counted)
