import math
import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.infer.util import constrain_fn, potential_energy

from varinf.errors import InputError
from varinf.models._target import AbstractTarget


class NumpyroModel(AbstractTarget):
    """A NumPyro model with its arguments: the joint density of its latent sites, unconstrained.

    Args:
        model: a function with NumPyro's primitives.
        args: its arguments.
        kwargs: and those by name.
        key: for running it once, to see its sites.

    Raises:
        InputError: it does not run; it has no latent site, or a discrete one; a plate is subsampled.
    """

    model: Callable = eqx.field(static=True)
    args: tuple
    kwargs: dict[str, Any]
    sites: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)

    def __init__(self, model: Callable, args: tuple, kwargs: dict[str, Any], *, key: PRNGKeyArray):
        self.model, self.args, self.kwargs = model, args, kwargs
        try:
            trace = handlers.trace(handlers.seed(model, key)).get_trace(*args, **kwargs)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"the model does not run on these arguments: {type(error).__name__}: {error}") from error
        self.sites = tuple(_latent_sites(trace))
        if not self.sites:
            raise InputError("the model has no latent site to infer: every sample statement has obs=")

    @property
    def start(self) -> Float[Array, " dim"]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return jnp.zeros(sum(math.prod(shape) for _, shape in self.sites), jnp.result_type(float))

    def log_density(self, z: Float[Array, " dim"]) -> Float[Array, ""]:
        return -jnp.asarray(potential_energy(self.model, self.args, self.kwargs, self._by_site(z)))

    def constrain(self, z: Float[Array, " dim"]) -> dict[str, Array]:
        return constrain_fn(self.model, self.args, self.kwargs, self._by_site(z), return_deterministic=True)

    def blame(self, z: Float[Array, " dim"]) -> str:
        values = constrain_fn(self.model, self.args, self.kwargs, self._by_site(z))
        seeded = handlers.seed(handlers.substitute(self.model, values), jax.random.key(0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPyro's, of the very values that are looked for
            trace = handlers.trace(seeded).get_trace(*self.args, **self.kwargs)
            for name, site in trace.items():
                if site["type"] == "sample" and not jnp.isfinite(site["fn"].log_prob(site["value"])).all():
                    return f"site {name!r}"
        return ""

    def _by_site(self, z: Float[Array, " dim"]) -> dict[str, Array]:
        values, start = {}, 0
        for name, shape in self.sites:
            stop = start + math.prod(shape)
            values[name] = z[start:stop].reshape(shape)
            start = stop
        return values


def _latent_sites(trace: dict[str, Any]) -> Any:
    """The names and unconstrained shapes of the latent sites of a run."""
    for name, site in trace.items():
        if site["type"] == "plate" and site["args"][1] is not None and site["args"][1] < site["args"][0]:
            raise InputError(
                f"plate {name!r} is subsampled ({site['args'][1]} of {site['args'][0]}); leave out subsample_size"
            )
        if site["type"] != "sample" or site["is_observed"]:
            continue
        if site["fn"].is_discrete:
            raise InputError(
                f"site {name!r} is discrete ({type(site['fn']).__name__}); sum it out, or write the density without it"
            )
        yield name, jnp.shape(biject_to(site["fn"].support).inv(site["value"]))
