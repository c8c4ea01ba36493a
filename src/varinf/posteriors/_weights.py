"""q over the weights of a network: over the arrays of a pytree, of which None stands for what is not random."""

import abc
from collections.abc import Sequence
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree
from numpyro.distributions import Distribution

from varinf import distributions as vd
from varinf._noise import normal
from varinf._total import total
from varinf._tree import Constant
from varinf.errors import InputError
from varinf.posteriors._family import AbstractFamily
from varinf.posteriors._mean_field import MeanField

Priors = Sequence[Distribution]
"""For each array in the order of the tree's leaves, the distribution of its components."""


class AbstractWeights(eqx.Module):
    """A distribution over the arrays of a tree."""

    @abc.abstractmethod
    def sample(self, key: PRNGKeyArray, num_samples: int) -> PyTree[Float[Array, "samples ..."]]:
        """Draws of all arrays, that gradients pass through."""

    @abc.abstractmethod
    def log_prob(self, draws: PyTree[Float[Array, "samples ..."]]) -> Float[Array, " samples"]:
        """ln q of draws, in nats."""

    @abc.abstractmethod
    def kl(self, priors: Priors, *, drawn: bool = False) -> Float[Array, " parts"]:
        """KL[q || prior] in nats, apart for each array where q factorises so.

        Args:
            priors: of the arrays.
            drawn: whether q is drawn from too: what that works out is then used again.

        Raises:
            NoClosedForm: none is known.
        """

    @abc.abstractmethod
    def mean(self) -> PyTree[Array]:
        """The mean of each array."""


class MeanFieldWeights(AbstractWeights):
    """Independent normal components.

    Attributes:
        loc: the means, a tree of arrays.
        log_scale: the logarithms of the standard deviations, likewise.
    """

    loc: PyTree[Float[Array, "..."]]
    log_scale: PyTree[Float[Array, "..."]]

    @property
    def scale(self) -> PyTree[Float[Array, "..."]]:
        """The standard deviations."""
        return jax.tree.map(_scale, self.log_scale)

    @property
    def variance(self) -> PyTree[Float[Array, "..."]]:
        """Their squares."""
        return jax.tree.map(_variance, self.log_scale)

    def sample(self, key: PRNGKeyArray, num_samples: int) -> PyTree[Float[Array, "samples ..."]]:
        locs, structure = jax.tree.flatten(self.loc)
        log_scales = jax.tree.leaves(self.log_scale)
        if num_samples == 1:  # without an axis for draws, in which each pass over the weights is dearer
            draws = [draw[None] for draw in _drawn(locs, log_scales, key)]
        else:
            draws = jax.vmap(partial(_drawn, locs, log_scales))(jax.random.split(key, num_samples))
        return jax.tree.unflatten(structure, draws)

    def log_prob(self, draws: PyTree[Float[Array, "samples ..."]]) -> Float[Array, " samples"]:
        return log_prob_of(self._normals(), draws)

    def kl(self, priors: Priors, *, drawn: bool = False) -> Float[Array, " parts"]:
        leaves = zip(jax.tree.leaves(self.loc), jax.tree.leaves(self.log_scale), priors, strict=True)
        return jnp.stack([_kl(loc, log_scale, prior, drawn=drawn) for loc, log_scale, prior in leaves])

    def mean(self) -> PyTree[Array]:
        return self.loc

    def _normals(self) -> list[vd.Normal]:
        leaves = zip(jax.tree.leaves(self.loc), jax.tree.leaves(self.scale), strict=True)
        return [vd.Normal(loc, scale) for loc, scale in leaves]


Arrays = list[Float[Array, "..."]]


@jax.custom_vjp
def _drawn(locs: Arrays, log_scales: Arrays, key: PRNGKeyArray) -> Arrays:
    """loc + σ ε, with ε drawn for all arrays at once. By the rule below, gradients read σ ε from the draws."""
    noise = normal(key, [loc.shape for loc in locs], jnp.result_type(*locs), read_once=True)
    return [
        loc + _scale(log_scale) * part.astype(loc.dtype)
        for loc, log_scale, part in zip(locs, log_scales, noise, strict=True)
    ]


def _drawn_forward(locs: Arrays, log_scales: Arrays, key: PRNGKeyArray) -> tuple[Arrays, tuple[Arrays, Arrays]]:
    draws = _drawn(locs, log_scales, key)
    return draws, (draws, locs)


def _drawn_backward(saved: tuple[Arrays, Arrays], grads: Arrays) -> tuple[Arrays, Arrays, None]:
    return grads, [grad * (draw - loc) for grad, draw, loc in zip(grads, *saved, strict=True)], None


_drawn.defvjp(_drawn_forward, _drawn_backward)


class _Shift(Constant):
    arrays: PyTree[Float[Array, "..."]]


class JointWeights(AbstractWeights):
    """All arrays as one vector: shift + u, where u is of a family of distributions over vectors.

    Attributes:
        shift: a tree of arrays that are not trained.
        parameters: of the member of the family.
        family: the family.
    """

    shift: _Shift
    parameters: Float[Array, " parameters"]
    family: AbstractFamily

    def sample(self, key: PRNGKeyArray, num_samples: int) -> PyTree[Float[Array, "samples ..."]]:
        shift, unravel = ravel_pytree(self.shift.arrays)
        noise = jax.random.normal(key, (num_samples, self.family.num_noise(shift.size)), shift.dtype)
        return jax.vmap(unravel)(shift + self.family.from_noise(self.parameters, noise))

    def log_prob(self, draws: PyTree[Float[Array, "samples ..."]]) -> Float[Array, " samples"]:
        u = jax.vmap(_vector)(draws) - _vector(self.shift.arrays)
        return jnp.asarray(self.family(self.parameters).log_prob(u))

    def kl(self, priors: Priors, *, drawn: bool = False) -> Float[Array, " parts"]:
        normals = [prior for prior in priors if isinstance(prior, vd.Normal)]
        if len(normals) < len(priors):
            raise vd.NoClosedForm("no closed form is known for a joint posterior and priors that are not all normal")
        leaves = jax.tree.leaves(self.shift.arrays)
        locs = [jnp.broadcast_to(jnp.asarray(p.loc), leaf.shape) for p, leaf in zip(normals, leaves, strict=True)]
        scales = [jnp.broadcast_to(jnp.asarray(p.scale), leaf.shape) for p, leaf in zip(normals, leaves, strict=True)]
        prior = vd.MultivariateNormalDiag(_vector(locs) - _vector(self.shift.arrays), _vector(scales))
        return vd.kl_divergence(self.family(self.parameters), prior)[None]

    def mean(self) -> PyTree[Array]:
        shift, unravel = ravel_pytree(self.shift.arrays)
        return unravel(shift + self.family(self.parameters).mean)


def over_weights(
    family: AbstractFamily, loc: PyTree[Array], scale: PyTree[Array], *, key: PRNGKeyArray
) -> AbstractWeights:
    """q over the arrays of a tree.

    Args:
        family: of what kind; `MeanField` acts on each array by itself, all others on all arrays as one vector.
        loc: the means to begin with, a tree of arrays.
        scale: the standard deviations to begin with, likewise; for all arrays together, their root mean square.
        key: for arrays of the family's own.

    Raises:
        InputError: a family that has no meaning but about a mode.
    """
    if family.needs_curvature:
        raise InputError(f"{type(family).__name__} is for infer, which finds a mode first; take another posterior")
    if isinstance(family, MeanField):
        return MeanFieldWeights(loc, jax.tree.map(jnp.log, scale))
    vector = _vector(scale)
    parameters = family.standard(vector.size, jnp.sqrt(jnp.mean(vector**2)))
    return JointWeights(_Shift(loc), parameters, family.built(vector.size, key=key))


def _vector(tree: PyTree[Array]) -> Float[Array, " dim"]:
    return ravel_pytree(tree)[0]


def log_prob_of(distributions: Sequence[Distribution], draws: PyTree[Float[Array, "samples ..."]]) -> Array:
    """The sum of the log densities of a tree's arrays, `[samples]`."""
    leaves = jax.tree.leaves(draws)
    each = [
        jnp.asarray(p.log_prob(leaf)).reshape(len(leaf), -1).sum(1)
        for p, leaf in zip(distributions, leaves, strict=True)
    ]
    return sum(each[1:], each[0])


def _scale(log_scale: Array) -> Array:
    """σ: in this form its powers are products, where XLA would take an exponential for each."""
    return lax.optimization_barrier(jnp.exp(log_scale))


def _variance(log_scale: Array) -> Array:
    """σ², which as an exponential of its own is the quicker where σ is not wanted too."""
    return jnp.exp(2 * log_scale)


def _kl(loc: Array, log_scale: Array, prior: Distribution, *, drawn: bool) -> Float[Array, ""]:
    """KL[q || prior] of the normal q with this mean and the exponential of this scale, summed."""
    if isinstance(prior, vd.Normal):
        function, spread = (_normal_kl, _scale) if drawn else (_normal_kl_of_variance, _variance)
        of_prior = (jnp.asarray(parameter, loc.dtype) for parameter in (prior.loc, prior.scale))
        whole = (parameter if parameter.ndim == 0 else jnp.broadcast_to(parameter, loc.shape) for parameter in of_prior)
        return total(function, loc, log_scale, spread(log_scale), *whole)
    q = vd.Normal(loc, _scale(log_scale))
    return jnp.sum(vd.kl_divergence(q, prior if not prior.batch_shape else prior.expand(loc.shape)))


def _normal_kl(loc: Array, log_scale: Array, scale: Array, prior_loc: Array, prior_scale: Array) -> Array:
    return _normal_kl_of_variance(loc, log_scale, jnp.square(scale), prior_loc, prior_scale)


def _normal_kl_of_variance(
    loc: Array, log_scale: Array, variance: Array, prior_loc: Array, prior_scale: Array
) -> Array:
    """What `kl_divergence` gives, of the least that is to be worked out for each weight."""
    squares = (variance + jnp.square(loc - prior_loc)) * (0.5 / jnp.square(prior_scale))
    return squares - log_scale + (jnp.log(prior_scale) - 0.5)
