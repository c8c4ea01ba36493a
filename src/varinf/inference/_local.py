import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from varinf import data
from varinf._checks import at_least_one, known
from varinf._compiled import compiled
from varinf.errors import InputError
from varinf.evaluate import RowBlock, observed, padded_blocks
from varinf.inference._draws import Noise, NoiseBuffer, normal_draws, seeds
from varinf.inference._optimize import Search, no_memory, search_from
from varinf.models import VAE, prior_of
from varinf.objectives import Batch, Draw, Request, Terms
from varinf.posteriors import POSTERIORS, AbstractFamily

_ROWS, _CHUNK = 256, 32  # of a compiled call, and draws whose densities are worked out at once
_STEPS = 10  # of a row in one call; those that are not done go on in another
_GROWTH = 2  # a stage has so many times the draws of the one before
_REPEATS = 8  # of as many draws, for the elbo
_REQUEST = Request(1, closed_form_kl=True, stop_posterior=False)


@dataclass(frozen=True)
class LocalInference:
    """Posteriors that were inferred for some data, each by itself, under a model that stayed as it was.

    Attributes:
        posterior: q(z) of each datum, a Distribution with batch shape `[n]`.
        elbo: of each, in nats, from draws that it was not fitted on, `[n]`.
        elbo_stderr: its standard error, `[n]`.
        steps: quasi-Newton steps made for each, `[n]`.
        converged: whether for this datum there is no more to gain in the family, `[n]`.
    """

    posterior: Any
    elbo: np.ndarray
    elbo_stderr: np.ndarray
    steps: np.ndarray
    converged: np.ndarray

    def __str__(self) -> str:
        return (
            f"{len(self.elbo)} data, {self.converged.mean():.1%} of them converged, in {np.median(self.steps):.0f} "
            f"steps (median); elbo {self.elbo.mean():.6g} nats per datum"
        )


class _Rows(NamedTuple):
    """Where some rows are.

    Attributes:
        shift: with `scale`, the coordinates z = shift + scale u in which q is fitted, `[rows, dim]`.
        scale: `[rows, dim]`.
        parameters: of q in them, `[rows, parameters]`.
    """

    shift: Any
    scale: Any
    parameters: Any


class _Ended(NamedTuple):
    """What a call came to for each row; arrays of JAX or NumPy.

    Attributes:
        parameters: `[rows, parameters]`.
        first: −elbo on the call's draws at the start, `[rows]`.
        value: at the end, `[rows]`.
        steps: made, `[rows]`.
        settled: whether there was no more to gain on the draws, `[rows]`.
        stuck: or no way to gain it, `[rows]`.
    """

    parameters: Any
    first: Any
    value: Any
    steps: Any
    settled: Any
    stuck: Any


def infer_local(
    model: VAE,
    x: Any,
    *,
    start: str = "encoder",
    posterior: str | AbstractFamily = "mean_field",
    elbo_tol: float = 0.01,
    max_draws: int = 2048,
    max_steps: int = 500,
    key: PRNGKeyArray,
) -> LocalInference:
    """Fit a posterior of its own to each datum, under a model that stays as it is.

    Each q maximises its bound on fixed draws by a quasi-Newton method, in stages of twice the draws, until new
    ones let it rise by less than `elbo_tol`, all after the first in coordinates of that one's spread. Rows are worked
    on in blocks of those that are not done yet; what is found for a row does not depend on the others. Memory is that
    of the answer and of a block.

    Source: the per-datum posteriors of Hoffman et al. 2013; from the encoder's answer, Kim et al. 2018; fixed draws,
    Giordano, Ingram and Broderick 2024.

    Args:
        model: a VAE.
        x: rows as they are stored, `[n, *event]`, or a Source. Random observations (binarised pixels) are drawn once,
            as `evaluate.elbo` draws them with the same key.
        start: "encoder", or "prior".
        posterior: the family: a name in `varinf.posteriors.POSTERIORS`, or a family.
        elbo_tol: nats for each datum.
        max_draws: of the last stage.
        max_steps: quasi-Newton steps for a datum, in all stages together.
        key: for the observations and the draws.

    Returns:
        The posterior of each row, its elbo, and whether it converged.

    Raises:
        InputError: the rows cannot be observed by the model; an unknown name; latents that have no density over
            vectors of real numbers.
    """
    known("start", start, ("encoder", "prior"))
    if not elbo_tol > 0:
        raise InputError(f"elbo_tol must be positive, got {elbo_tol:g}")
    if max_draws < _GROWTH * _CHUNK:
        raise InputError(f"max_draws must be at least {_GROWTH * _CHUNK}, got {max_draws}: it takes two stages to tell")
    at_least_one("max_steps", max_steps)
    source, prior = data.source(x), prior_of(model)
    if prior.is_discrete or len(prior.event_shape) != 1:
        raise InputError(f"expected latents that are vectors of real numbers, got a prior {type(prior).__name__}")
    model.observation.check(data.summarize(source))
    (dim,), dtype = prior.event_shape, np.dtype(jnp.result_type(float))
    family = (POSTERIORS[posterior]() if isinstance(posterior, str) else posterior).built(dim, key=key)
    standard = np.asarray(family.standard(dim), dtype)
    if family.moments(jnp.asarray(standard)) is None:
        raise InputError(f"expected a family of normal distributions, got {type(family).__name__}")
    shift, scale = np.empty((2, len(source), dim), dtype)
    work = _Work(model, family, source, _Rows(shift, scale, np.tile(standard, (len(source), 1))), key)
    work.begin(start == "encoder")
    stage_seed, elbo_seed = seeds(jax.random.fold_in(key, 1), 2)
    steps, converged = np.zeros(len(source), int), np.zeros(len(source), bool)
    pending, draws, width = np.arange(len(source)), _CHUNK, family.num_noise(dim)
    buffer = NoiseBuffer(max_draws, _CHUNK, width, dtype)
    while len(pending) and draws <= max_draws:
        noise = buffer.filled(normal_draws(draws, width, stage_seed + draws, match=True))
        gained, settled = work.stage(pending, noise, elbo_tol / 4, steps, max_steps)
        converged[pending] = settled & (gained < elbo_tol) & (draws > _CHUNK)
        pending = pending[settled & ~converged[pending]]
        if draws == _CHUNK:
            work.move(pending, standard)
        draws *= _GROWTH
    noises = [normal_draws(_CHUNK, width, elbo_seed + i, match=False).astype(dtype) for i in range(_REPEATS)]
    elbos = work.elbos([jnp.asarray(noise) for noise in noises])
    return LocalInference(work.posterior(), elbos.mean(0), elbos.std(0, ddof=1) / math.sqrt(_REPEATS), steps, converged)


class _Work(NamedTuple):
    """What is worked on: the posteriors of all rows, block by block.

    Attributes:
        model: the VAE.
        family: of the posteriors.
        source: the rows as stored.
        rows: where their posteriors are, on the host; changed in place.
        key: for random observations.
    """

    model: VAE
    family: AbstractFamily
    source: data.Source
    rows: _Rows
    key: PRNGKeyArray

    def begin(self, encoder: bool) -> None:
        """Set the coordinates of all rows."""
        for chosen, block in self._blocks(np.arange(len(self.source))):
            moments = _start(self.model, block, encoder, self.key)
            for whole, part in zip((self.rows.shift, self.rows.scale), moments, strict=True):
                whole[chosen] = np.asarray(part)[: len(chosen)]

    def stage(
        self, pending: np.ndarray, noise: Noise, gain: float, steps: np.ndarray, max_steps: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Improve some rows on these draws, and count their steps.

        Returns:
            How much the bound of each rose, and whether there is no more to gain, `[pending]` each.
        """
        gained, settled = np.zeros(len(self.source)), np.zeros(len(self.source), bool)
        queue = pending
        while len(queue):
            unfinished = []
            for chosen, block in self._blocks(queue):
                most = jnp.asarray(_full(np.minimum(_STEPS, max_steps - steps[chosen])))
                limit = jnp.asarray(gain, self.rows.shift.dtype)
                rows = _padded(self.rows, chosen)
                ended = _advance(self.model, self.family, block, rows, noise, limit, most, self.key)
                ended = _Ended(*(np.asarray(leaf)[: len(chosen)] for leaf in ended))
                self.rows.parameters[chosen] = ended.parameters
                gained[chosen] += ended.first - ended.value
                steps[chosen] += ended.steps
                settled[chosen] = ended.settled
                unfinished.append(chosen[~ended.settled & ~ended.stuck & (steps[chosen] < max_steps)])
            queue = np.concatenate(unfinished)
        return gained[pending], settled[pending]

    def posterior(self) -> Any:
        """q of each row."""
        shift, scale, parameters = map(jnp.asarray, self.rows)
        return self.family.moved(parameters, shift, _as_scale(self.family, scale))

    def move(self, pending: np.ndarray, standard: np.ndarray) -> None:
        """Set the coordinates of some rows anew, by mean and spread of their q.

        Where those it began in were far too wide, as from the prior, the search ends early, and takes a covariance that
        it has not seen to be none.
        """
        q = self.posterior()
        for whole, new in zip((self.rows.shift, self.rows.scale), (q.mean, jnp.sqrt(q.variance)), strict=True):
            whole[pending] = np.asarray(new)[pending]
        self.rows.parameters[pending] = standard

    def elbos(self, noises: list[Float[Array, "draws noise"]]) -> np.ndarray:
        """The elbo of each row on each of some sets of draws, `[sets, rows]`."""
        elbos = np.empty((len(noises), len(self.source)))
        for chosen, block in self._blocks(np.arange(len(self.source))):
            rows = _padded(self.rows, chosen)
            for i, noise in enumerate(noises):
                elbo = _elbo(self.model, self.family, block, rows, noise, self.key)
                elbos[i, chosen] = np.asarray(elbo)[: len(chosen)]
        return elbos

    def _blocks(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, RowBlock]]:
        """These rows in full blocks, with their numbers."""
        for start in range(0, len(rows), _ROWS):
            chosen = rows[start : start + _ROWS]
            yield chosen, next(padded_blocks(self.model, data.Subset(self.source, chosen), _ROWS, chosen))


def _full(values: np.ndarray) -> np.ndarray:
    """Values for a block: the first of them repeated where there are too few."""
    return np.concatenate([values, np.repeat(values[:1], _ROWS - len(values), axis=0)])


def _padded(rows: _Rows, chosen: np.ndarray) -> _Rows:
    return jax.tree.map(lambda leaf: jnp.asarray(_full(leaf[chosen])), rows)


def _as_scale(family: AbstractFamily, scale: Any) -> Any:
    return scale[..., None] * jnp.eye(scale.shape[-1], dtype=scale.dtype) if family.triangular else scale


@compiled
def _start(model: VAE, block: RowBlock, encoder: bool, key: PRNGKeyArray) -> tuple[Array, Array]:
    """Mean and standard deviation of the q to begin with, of each row."""
    if encoder:
        q: Any = model.draw(observed(model, block, key=key), _REQUEST, key=key).context
        return q.mean, jnp.sqrt(q.variance)
    prior: Any = prior_of(model)
    shape = (block.numbers.shape[0], *prior.event_shape)
    return jnp.broadcast_to(prior.mean, shape), jnp.broadcast_to(jnp.sqrt(prior.variance), shape)


def _terms(
    model: VAE, family: AbstractFamily, batch: Batch, rows: _Rows, noise: Float[Array, "*rows draws noise"]
) -> Terms:
    """The terms of the bound of each row, with draws that are all rows', or its own."""
    u = jax.vmap(family.from_noise, (0, 0 if noise.ndim == 3 else None), 1)(rows.parameters, noise)
    q = family.moved(rows.parameters, rows.shift, _as_scale(family, rows.scale))
    return model.score(batch, Draw(rows.shift + rows.scale * u, q), _REQUEST)


def _negative_bounds(
    model: VAE, family: AbstractFamily, batch: Batch, rows: _Rows, noise: Float[Array, "draws noise"]
) -> Float[Array, " rows"]:
    """−elbo of each row on these draws, in nats; with the KL, or else the entropy of q, exact."""
    terms = _terms(model, family, batch, rows, noise)
    (latent,) = terms.latents
    if latent.kl is not None:
        return latent.kl.sum(-1) - terms.log_likelihood.mean(0)
    entropy = jax.vmap(family.entropy, (0, None))(rows.parameters, noise) + jnp.log(rows.scale).sum(-1)
    return -entropy - (terms.log_likelihood + latent.log_prior).mean(0)


@compiled
def _elbo(
    model: VAE,
    family: AbstractFamily,
    block: RowBlock,
    rows: _Rows,
    noise: Float[Array, "draws noise"],
    key: PRNGKeyArray,
) -> Float[Array, " rows"]:
    """The mean of ln p − ln q, which has no noise at the exact posterior.

    The draws are shifted for each row by numbers of its own (Cranley and Patterson 1976), so that chance in the elbos
    of rows averages out.
    """

    shift_key = jax.random.fold_in(key, 2)

    def own(number: Array) -> Array:
        shift = jax.random.uniform(jax.random.fold_in(shift_key, number), noise.shape[1:], noise.dtype)
        least = float(jnp.finfo(noise.dtype).eps)
        half = jax.scipy.special.ndtr(noise[: len(noise) // 2]) + shift
        draws = jax.scipy.special.ndtri(jnp.clip(half % 1, least, 1 - least))
        return jnp.concatenate([draws, -draws])

    own_noise = jax.vmap(own)(block.numbers)
    return _terms(model, family, observed(model, block, key=key), rows, own_noise).log_weights().mean(0)


@compiled
def _advance(
    model: VAE,
    family: AbstractFamily,
    block: RowBlock,
    rows: _Rows,
    noise: Noise,
    gain: Array,
    most_steps: Int[Array, " rows"],
    key: PRNGKeyArray,
) -> _Ended:
    """Up to so many steps for each row of a block."""
    batch = observed(model, block, key=key)

    def values_and_grads(parameters: Array) -> tuple[Array, Array]:
        def add(i: Array, sums: tuple[Array, Array]) -> tuple[Array, Array]:
            def losses(parameters: Array) -> Array:
                return _negative_bounds(model, family, batch, rows._replace(parameters=parameters), noise.chunks[i])

            # a row's loss depends on its own parameters alone
            values, pull = jax.vjp(losses, parameters)
            return sums[0] + values, sums[1] + pull(jnp.ones_like(values))[0]

        zeros = jnp.zeros(len(parameters), parameters.dtype), jnp.zeros_like(parameters)
        values, grads = jax.lax.fori_loop(0, noise.used, add, zeros)
        return values / noise.used, grads / noise.used

    def active(searches: Search) -> Array:
        ended = jax.vmap(Search.settled, (0, None))(searches, gain) | jax.vmap(Search.stuck)(searches)
        return ~ended & (searches.steps <= most_steps)

    def step(searches: Search) -> Search:
        told = jax.vmap(Search.told)(searches, *values_and_grads(jax.vmap(Search.trial)(searches)))
        # a row that is done stays as it is, whatever the others need
        on = active(searches)
        return jax.tree.map(lambda new, old: jnp.where(on.reshape(-1, *[1] * (new.ndim - 1)), new, old), told, searches)

    start = jax.vmap(lambda x: search_from(x, no_memory(x)))(rows.parameters)
    end = jax.lax.while_loop(lambda searches: active(searches).any(), step, start)
    settled = jax.vmap(Search.settled, (0, None))(end, gain)
    return _Ended(end.x, end.first, end.value, end.steps - 1, settled, jax.vmap(Search.stuck)(end))
