import contextlib
import functools
import importlib.util
import itertools
import math
import traceback
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.infer.util import constrain_fn, potential_energy

from varinf._compiled import compiled
from varinf.errors import InputError
from varinf.models._plates import Plate, all_parts, constrained, full_shape, log_density, subsampled_plates
from varinf.models._target import AbstractTarget

_CALLERS = {"equinox", "jax", "numpyro", "varinf"}  # packages that a model is called through


class NumpyroModel(AbstractTarget):
    """A NumPyro model with its arguments: the joint density of its continuous latent sites, unconstrained.

    Plates that are subsampled see all their rows, a part at a time, so that the density is that of the whole data.
    Discrete latent sites that NumPyro can enumerate are summed out.

    Args:
        model: a function with NumPyro's primitives.
        args: its arguments; arrays are traced, or, where the model does not run so, constants of the programs.
        kwargs: and those by name.

    Raises:
        InputError: it does not run; it has no continuous latent site, or a discrete one that cannot be summed out.
    """

    model: Callable = eqx.field(static=True)
    args: tuple
    kwargs: dict[str, Any]
    sites: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)
    plates: tuple[Plate, ...] = eqx.field(static=True)
    enumerates: bool = eqx.field(static=True)

    def __init__(self, model: Callable, args: tuple, kwargs: dict[str, Any]):
        outlined = compiled(_outline, run=False)  # a new program, since a model may read what changes
        outline = None
        with contextlib.suppress(Exception):
            outline = outlined(model, args, kwargs)
        if outline is None:
            # it needs to know its arguments while it is traced, or some are neither arrays nor hashable
            model, args, kwargs = functools.partial(model, *args, **kwargs), (), {}
            try:
                outline = outlined(model, args, kwargs)
            except InputError:
                raise
            except Exception as error:
                raise InputError(f"the model does not run on these arguments: {_said(error)}") from error
        self.args, self.kwargs, self.plates = args, kwargs, outline.plates
        discrete = [site for site in outline.latents if site.discrete]
        self.enumerates = bool(discrete)
        self.model = _enumerated(model, outline, discrete) if discrete else model
        self.sites = tuple((site.name, site.shape) for site in outline.latents if not site.discrete)
        for name in outline.params:
            raise InputError(f"site {name!r} is a param, which has no posterior; give it a prior with sample")
        if not self.sites:
            raise InputError("the model has no continuous latent site to infer; a log density goes in vi.LogDensity")

    @property
    def start(self) -> Float[Array, " dim"]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Zero for each site, in unconstrained coordinates."""
        return jnp.zeros(sum(math.prod(shape) for _, shape in self.sites), jnp.result_type(float))

    def log_density(self, z: Float[Array, " dim"]) -> Float[Array, ""]:
        values = self._by_site(z)
        if not self.plates:
            energy = potential_energy(self.model, self.args, self.kwargs, values, enum=self.enumerates)
            return -jnp.asarray(energy)
        # what a part computes is worked out again for the gradient, so that one part at a time is in memory
        one = jax.checkpoint(lambda part: log_density(self._run, values, part))
        return jax.lax.map(one, all_parts(self.plates)).mean()

    def constrain(self, z: Float[Array, " dim"]) -> dict[str, Array]:
        values = self._by_site(z)
        if self.plates:
            return constrained(self._run, values, self.plates, all_parts(self.plates))
        seeded = handlers.seed(self.model, jax.random.key(0)) if self.enumerates else self.model
        return constrain_fn(seeded, self.args, self.kwargs, values, return_deterministic=not self.enumerates)

    def blame(self, z: Float[Array, " dim"]) -> str:
        if self.plates or self.enumerates:
            return ""
        values = constrain_fn(self.model, self.args, self.kwargs, self._by_site(z))
        seeded = handlers.seed(handlers.substitute(self.model, values), jax.random.key(0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPyro's, of the very values that are looked for
            trace = handlers.trace(seeded).get_trace(*self.args, **self.kwargs)
            for name, site in trace.items():
                if site["type"] == "sample" and not jnp.isfinite(site["fn"].log_prob(site["value"])).all():
                    return f"site {name!r}"
        return ""

    def _run(self) -> Any:
        return self.model(*self.args, **self.kwargs)

    def _by_site(self, z: Float[Array, " dim"]) -> dict[str, Array]:
        values, start = {}, 0
        for name, shape in self.sites:
            stop = start + math.prod(shape)
            values[name] = z[start:stop].reshape(shape)
            start = stop
        return values


class _Latent(NamedTuple):
    """A latent site, whatever the values of all others; `shape` is that of its unconstrained value for all rows."""

    name: str
    kind: str
    discrete: bool
    enumerable: bool
    shape: tuple[int, ...]


class _Outline(NamedTuple):
    """What a run tells of a model; `depth` is how many axes plates have."""

    latents: tuple[_Latent, ...]
    params: tuple[str, ...]
    plates: tuple[Plate, ...]
    depth: int


def _outline(model: Callable, args: tuple, kwargs: dict[str, Any]) -> _Outline:
    """Of a run of which nothing is computed. Its continuous latents are not drawn, since some have no draws."""
    begun = handlers.substitute(handlers.seed(model, jax.random.key(0)), substitute_fn=_start)
    trace = handlers.trace(begun).get_trace(*args, **kwargs)
    plates = subsampled_plates(trace)
    latents = []
    for name, site in trace.items():
        if site["type"] == "sample" and not site["is_observed"]:
            fn = site["fn"]
            shape = () if fn.is_discrete else _unconstrained_shape(site, plates)
            if fn.is_discrete and fn.has_enumerate_support:
                fn.enumerate_support(expand=False)  # as in the density: it may need to know arguments
            latents.append(_Latent(name, type(fn).__name__, fn.is_discrete, fn.has_enumerate_support, shape))
    params = tuple(name for name, site in trace.items() if site["type"] == "param")
    depth = max((-frame.dim for site in trace.values() for frame in site.get("cond_indep_stack", ())), default=0)
    return _Outline(tuple(latents), params, plates, depth)


def _start(site: dict[str, Any]) -> Array | None:
    if site["type"] != "sample" or site["is_observed"] or site["fn"].is_discrete:
        return None
    fn = site["fn"]
    try:
        to_support = biject_to(fn.support)
    except NotImplementedError as error:
        raise InputError(
            f"site {site['name']!r} ({type(fn).__name__}) has the support {fn.support}, to which NumPyro has no map "
            "from the real numbers; reparameterise it, as with numpyro.handlers.reparam"
        ) from error
    return to_support(jnp.zeros(to_support.inverse_shape(fn.shape(site["kwargs"]["sample_shape"]))))


def _unconstrained_shape(site: dict[str, Any], plates: tuple[Plate, ...]) -> tuple[int, ...]:
    to_support = biject_to(site["fn"].support)
    shape = to_support.inverse_shape(site["value"].shape)
    return full_shape(site, shape, to_support.domain.event_dim, plates)


def _said(error: Exception) -> str:
    """What failed in a user's model, in one line."""
    frames = traceback.walk_tb(error.__traceback__)
    theirs = (at for at in frames if at[0].f_globals.get("__name__", "").partition(".")[0] not in _CALLERS)
    where = traceback.StackSummary.extract(itertools.islice(theirs, 1))
    parts = [f"line {where[0].lineno} {where[0].line!r}"] if where else []
    parts += [type(error).__name__, str(error).strip().partition("\n")[0].rstrip(".")]
    said = ": ".join(part for part in parts if part)
    if isinstance(error, jax.errors.JAXTypeError | jax.errors.JAXIndexError):
        said += (
            "; no value of jax.numpy's or of a random site is known while the model is traced: use NumPy for what must "
            "be, and jax.numpy (jnp.where for if) for the rest"
        )
    return said


def _enumerated(model: Callable, outline: _Outline, discrete: list[_Latent]) -> Callable:
    """The model with its discrete latent sites to be summed out by NumPyro."""
    for site in discrete:
        said = f"site {site.name!r} is discrete ({site.kind})"
        if not site.enumerable:
            raise InputError(f"{said}, with no end of values; write the model without it")
        if outline.plates:
            raise InputError(
                f"{said} and plate {outline.plates[0].name!r} is subsampled; leave out subsample_size, or sum the site "
                "out by hand"
            )
        if importlib.util.find_spec("funsor") is None:
            raise InputError(
                f"{said}; pip install funsor, with which NumPyro sums it out, or write the model without it"
            )
    from numpyro.contrib.funsor import config_enumerate, enum  # it imports funsor

    return enum(config_enumerate(model), -outline.depth - 1)
