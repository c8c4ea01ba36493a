"""Models whose plates are subsampled: the density over all rows, a part of them at a time."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro import handlers
from numpyro.distributions import biject_to


class Plate(NamedTuple):
    """A plate that takes `subsample` of its `size` rows at a time."""

    name: str
    size: int
    subsample: int

    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """All rows in parts, `[parts, subsample]`, and what each counts for in the mean over the parts.

        A row that only fills up the last part counts for nothing, and the others for as much more as makes the mean
        over parts, each scaled by size / subsample as NumPyro does, the sum over all rows.
        """
        count = -(-self.size // self.subsample)
        rows = np.arange(count * self.subsample)
        weights = np.where(rows < self.size, count * self.subsample / self.size, 0.0)
        shape = (count, self.subsample)
        return np.minimum(rows, self.size - 1).reshape(shape), weights.reshape(shape)


class Part(NamedTuple):
    """Some rows of each plate, by its name, and what they count for."""

    rows: dict[str, Array]
    weights: dict[str, Array]


def subsampled_plates(trace: dict[str, Any]) -> tuple[Plate, ...]:
    """The plates of a run that see only some of their rows."""
    plates = ((name, *site["args"]) for name, site in trace.items() if site["type"] == "plate")
    return tuple(
        Plate(name, int(size), int(subsample))
        for name, size, subsample in plates
        if subsample is not None and subsample < size
    )


def all_parts(plates: tuple[Plate, ...]) -> Part:
    """Each combination of the plates' parts, with a leading axis."""
    found = {plate.name: plate.parts() for plate in plates}
    chosen = np.array(list(itertools.product(*(range(len(rows)) for rows, _ in found.values()))))
    pairs = list(zip(found.items(), chosen.T, strict=True))
    return Part(
        {name: jnp.asarray(rows[index]) for (name, (rows, _)), index in pairs},
        {name: jnp.asarray(weights[index]) for (name, (_, weights)), index in pairs},
    )


def full_shape(
    site: dict[str, Any], shape: tuple[int, ...], event_dim: int, plates: tuple[Plate, ...]
) -> tuple[int, ...]:
    """The shape that a latent of a run has for all rows of its plates; `shape` and `event_dim` are of its value."""
    sizes: dict[str, int] = {plate.name: plate.size for plate in plates}
    whole: list[int] = list(shape)
    for frame in site["cond_indep_stack"]:
        axis = frame.dim - event_dim
        if frame.name in sizes:
            whole[axis] = sizes[frame.name]
    return tuple(whole)


def log_density(run: Callable[[], Any], unconstrained: dict[str, Array], part: Part) -> Float[Array, ""]:
    """ln p of a run that sees these rows, with those of a plate counting for what they do in the part."""
    log_dets: dict[str, Array] = {}
    trace = handlers.trace(_substituted(run, unconstrained, part, log_dets)).get_trace()
    total = jnp.zeros(())
    for name, site in trace.items():
        if site["type"] != "sample":
            continue
        terms = site["fn"].log_prob(site["value"]) + log_dets.get(name, 0.0)
        for frame in site["cond_indep_stack"]:
            if frame.name in part.weights:
                weights = part.weights[frame.name].astype(terms.dtype)
                terms = terms * weights.reshape(-1, *[1] * (-frame.dim - 1))
        total += (terms if site["scale"] is None else site["scale"] * terms).sum()
    return total


def constrained(
    run: Callable[[], Any], unconstrained: dict[str, Array], plates: tuple[Plate, ...], parts: Part
) -> dict[str, Array]:
    """The latents in the model's own space, those of subsampled plates for all rows. No deterministic sites."""

    def sites(part: Part) -> dict[str, Any]:
        return handlers.trace(_substituted(run, unconstrained, part, {})).get_trace()

    def add(whole: dict[str, Array], part: Part) -> tuple[dict[str, Array], None]:
        trace = sites(part)
        for name, values in whole.items():
            site = trace[name]
            where = _where(site, values.shape, site["fn"].event_dim, part)
            whole = whole | {name: values.at[where].set(site["value"])}
        return whole, None

    trace, empty = sites(jax.tree.map(lambda leaf: leaf[0], parts)), {}
    for name in unconstrained:
        site = trace[name]
        shape = full_shape(site, jnp.shape(site["value"]), site["fn"].event_dim, plates)
        empty[name] = jnp.zeros(shape, site["value"].dtype)
    return jax.lax.scan(add, empty, parts)[0]


def _substituted(
    run: Callable[[], Any], unconstrained: dict[str, Array], part: Part, log_dets: dict[str, Array]
) -> Callable[[], Any]:
    """The run at these latents and rows, which notes the log-determinants of the latents' bijectors."""

    def value(site: dict[str, Any]) -> Array | None:
        name = site["name"]
        if site["type"] == "plate":
            return part.rows.get(name)
        if name not in unconstrained:
            return None
        to_support = biject_to(site["fn"].support)
        event_dim = to_support.domain.event_dim
        given = unconstrained[name][_where(site, unconstrained[name].shape, event_dim, part)]
        constrained = to_support(given)
        log_dets[name] = to_support.log_abs_det_jacobian(given, constrained)
        surplus = log_dets[name].ndim - (constrained.ndim - site["fn"].event_dim)
        log_dets[name] = log_dets[name].sum(tuple(range(-surplus, 0)))
        return constrained

    return handlers.substitute(handlers.seed(run, jax.random.key(0)), substitute_fn=value)


def _where(site: dict[str, Any], shape: tuple[int, ...], event_dim: int, part: Part) -> tuple[Array, ...]:
    """Where in an array for all rows those of the part are."""
    axes = [jnp.arange(size) for size in shape]
    for frame in site["cond_indep_stack"]:
        if frame.name in part.rows:
            axes[frame.dim - event_dim] = part.rows[frame.name]
    return jnp.ix_(*axes)
