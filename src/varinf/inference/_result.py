import itertools
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from varinf._checks import at_least_one, known
from varinf._compiled import compiled
from varinf.errors import InputError
from varinf.inference._bound import MOST_ROUNDING, Member, Problem, rounding
from varinf.inference._draws import NormalSequence, seeds
from varinf.inference._psis import smooth

_SEQUENCES = 16  # independent ones, whose averages say how far they are off
_EACH = 64  # pairs of draws from each in one call
_COMPARED = 64  # draws that precisions are compared on, all of the first sequence
_CHUNK = 128  # draws whose densities are worked out at once
_BLOCK = 2 * _EACH * _SEQUENCES
_LEAST, _CLEAR = 4 * _BLOCK, 64 * _BLOCK  # draws that the elbo is worked out from, and at most that k-hat is
_MOST, _MOST_NUMBERS = 1 << 20, 1 << 24  # draws for a small standard error, and numbers in them
_PER_GRADIENT = 4  # evaluations of a density that a gradient of it costs
_CLOSE, _USABLE = 0.5, 0.7  # k-hat below which q is close to the posterior, and importance weights can be relied on
_PROPOSALS = 100  # at most, for each draw that is resampled


class Fitted(NamedTuple):
    """A density, and the q that was fitted to it.

    Attributes:
        problem: the density, and the coordinates that q is in.
        member: q in them.
        double: whether averages over draws are worked out in double precision, whatever q was fitted in.
    """

    problem: Problem
    member: Member
    double: bool = False

    @compiled
    def posterior(self) -> Any:
        """q over z."""
        return self.member.family.moved(self.member.parameters, *self.problem.frame)

    def blocks(self, seed: int) -> "Iterator[Block]":
        """Draws from q, ever more of them; averages over them are without bias."""
        return map(self._block, self._noise(seed))

    def off(self, seed: int) -> np.ndarray:
        """How far the log density of some draws is from what it is in double precision, in nats.

        Empty, where something in the density insists on a precision of its own. They are the first of the `blocks` of
        this seed.
        """
        noise, dtype = next(self._noise(seed)), self.problem.frame.shift.dtype
        if dtype == np.float64:
            return np.empty(0)
        found = self._block(noise).log_densities[:_COMPARED]
        try:
            with jax.enable_x64(True), warnings.catch_warnings():
                warnings.simplefilter("error", FutureWarning)  # JAX's, where numbers go into an array of less precision
                expected = np.asarray(_double_log_densities(self, jnp.asarray(noise[:_COMPARED])))
        except Exception:  # of any kind: it has run in its own precision
            return np.empty(0)
        with np.errstate(invalid="ignore"):  # both may be infinite
            return expected - np.asarray(found)

    def _noise(self, seed: int) -> Iterator[np.ndarray]:
        width = self.member.family.num_noise(len(self.problem.frame.shift))
        sequences = [NormalSequence(width, each) for each in np.random.SeedSequence(seed).spawn(_SEQUENCES)]
        while True:
            noise = np.concatenate([sequence.draw(_EACH) for sequence in sequences])
            yield np.concatenate([noise, -noise])

    def _block(self, noise: np.ndarray) -> "Block":
        if not self.double:
            return _block(self, jnp.asarray(noise.astype(self.problem.frame.shift.dtype)))
        with jax.enable_x64(True):
            return _double_block(self, jnp.asarray(noise))


class Stage(NamedTuple):
    """What a stage had and reached.

    Attributes:
        draws: it had.
        elbo: that it reached on them.
        steps: it took.
    """

    draws: int
    elbo: float
    steps: int


class Ended(NamedTuple):
    """Where the stages of a fit ended.

    Attributes:
        fitted: the q found.
        curved: whether its coordinates are those of the curvature at the mode.
        stages: of the fit.
        converged: whether there is no more to gain.
        reason: for the end, in words.
    """

    fitted: Fitted
    curved: bool
    stages: list[Stage]
    converged: bool
    reason: str


class Block(NamedTuple):
    """Draws from q: a mirrored pair of numbers is half a block apart, and each half has those of each sequence in turn.

    Attributes:
        z: the draws, `[n, dim]`.
        log_densities: ln p of each.
        log_ratios: ln p − ln q of each.
        controls: two numbers that go with them and have mean zero under q, of each: the parabola less ln q, and ln q.
    """

    z: Array
    log_densities: Float[Array, " n"]
    log_ratios: Float[Array, " n"]
    controls: Float[Array, "n 2"]


@dataclass(frozen=True)
class Inference:
    """A posterior that was inferred, and whether to trust it.

    Attributes:
        posterior: q over the unconstrained space, a Distribution with event shape `[dim]`.
        elbo: E_q[ln p − ln q] in nats, a lower bound on the evidence: the average over draws of q, by randomised
            quasi-Monte Carlo.
        elbo_stderr: its standard error, from independent sequences of draws.
        khat: the Pareto-smoothed importance-sampling diagnostic (Vehtari et al. 2024); 0 where the importance ratios
            are constant to a thousandth, or to rounding, and NaN where rounding hides it. Below 0.5 q is close to the
            posterior, below 0.7 `sample(resample="psis")` puts it right, and above neither can be relied on.
        converged: whether there is no more to gain in this family.
        stop_reason: in words.
        history: of each stage, the draws it had, the elbo it reached and the steps it took.
        fitted: the density, and q in the coordinates that it was fitted in.
    """

    posterior: Any
    elbo: float
    elbo_stderr: float
    khat: float
    converged: bool
    stop_reason: str
    history: dict[str, list[float]]
    fitted: Fitted

    def sample(self, num_samples: int, *, resample: str | None = None, key: PRNGKeyArray) -> Any:
        """Draws from q, in the model's own space.

        Args:
            num_samples: how many.
            resample: "psis" draws them anew by their smoothed importance weights, which corrects q where khat < 0.7;
                from as many draws of q as it takes for `num_samples` effective ones (1 / Σ w²).
            key: for the draws.

        Returns:
            For a NumPyro model a dict by site, deterministic ones included where no plate is subsampled and no site
            summed out; for a log density a tree like its `init`. A leading axis `[num_samples]`. A warning says so
            where 100 draws for each one asked for do not count for as many as that by their weights.

        Raises:
            InputError: no samples, or an unknown way to resample.
        """
        at_least_one("num_samples", num_samples)
        if resample is None:
            z = self.posterior.sample(key, (num_samples,))
        else:
            known("way to resample", resample, ("psis",))
            draw_seed, choice_seed = seeds(key, 2)
            z, weights = self._weighted(num_samples, draw_seed)
            z = jnp.asarray(z[np.random.default_rng(choice_seed).choice(len(z), num_samples, p=weights)])
        return jax.vmap(self.fitted.problem.target.constrain)(z)

    def _weighted(self, effective: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Draws from q and their importance weights, until they count for so many."""
        blocks: list[Block] = []
        source = self.fitted.blocks(seed)
        while True:
            blocks += itertools.islice(source, max(1, len(blocks)))  # twice as many
            weights = np.exp(smooth(np.concatenate([np.asarray(block.log_ratios) for block in blocks])).log_weights)
            number = 1 / (weights**2).sum()
            if number >= effective or len(weights) >= _PROPOSALS * effective:
                break
        if number < effective:
            warnings.warn(
                f"{len(weights)} draws from q count for {number:.0f} by their importance weights, of {effective} asked "
                "for: some will be there many times; see khat",
                stacklevel=3,
            )
        return np.concatenate([np.asarray(block.z) for block in blocks]), weights / weights.sum()

    def to_arviz(self, num_samples: int = 1000, *, resample: str | None = None, key: PRNGKeyArray) -> Any:
        """Draws as ArviZ takes them, as one chain; those of a log density whose `init` is no dict by the name x.

        Raises:
            InputError: ArviZ is not installed; or as `sample`.
        """
        try:
            import arviz  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise InputError("to_arviz needs ArviZ; pip install 'varinf[arviz]'") from None
        draws = self.sample(num_samples, resample=resample, key=key)
        named = draws if isinstance(draws, dict) else {"x": draws}
        return arviz.from_dict(posterior={name: np.asarray(values)[None] for name, values in named.items()})

    def __str__(self) -> str:
        converged = "converged" if self.converged else "NOT converged"
        return (
            f"elbo {self.elbo:.6g} ± {self.elbo_stderr:.1g} nats, a lower bound on the evidence\n"
            f"{converged}: {self.stop_reason}\n"
            f"k-hat {self.khat:.2f}: {_reading(self.khat)}"
        )


def measured(ended: Ended, elbo_tol: float, seed: int) -> Inference:
    """A result, with its elbo and k-hat from new draws, in double precision where less would tell on them.

    They are doubled until the standard error is half of `elbo_tol`, if that costs no more than the fit did or is
    little, and until k-hat is clear of the bounds that it is read by, if no great number is needed for that.
    """
    converged, stop_reason = ended.converged, ended.reason
    history = dict(zip(Stage._fields, map(list, zip(*ended.stages, strict=True)), strict=True))
    q, dtype = ended.fitted.posterior(), ended.fitted.problem.frame.shift.dtype
    pilot_seed, seed = np.random.SeedSequence(seed).generate_state(2).tolist()
    off = ended.fitted.off(pilot_seed)
    fitted = ended.fitted._replace(double=bool(len(off) and abs(off.mean()) > elbo_tol))
    hidden = max(np.abs(off).max(initial=0), rounding(ended.stages[-1].elbo, dtype))
    if hidden > MOST_ROUNDING:
        converged = False
        stop_reason = (
            f"{dtype} tells q's log densities to {hidden:.2g} nats only; jax.config.update('jax_enable_x64', True) at "
            f"the start tells more; {stop_reason}"
        )
    cost = _PER_GRADIENT * sum(stage.draws * (1 + stage.steps) for stage in ended.stages)
    most = max(cost, min(_MOST, _MOST_NUMBERS // len(fitted.problem.frame.shift)))
    weights = _regressed(next(fitted.blocks(pilot_seed)))
    source, count = fitted.blocks(seed), _LEAST
    log_ratios: list[np.ndarray] = []
    means: list[np.ndarray] = []
    while True:
        for block in itertools.islice(source, count // _BLOCK - len(means)):
            if not np.isfinite(block.log_ratios).all():
                share = float(np.mean(~np.isfinite(block.log_ratios)))
                stop_reason = f"{share:.1%} of q's draws have a log density that is not finite; {stop_reason}"
                return Inference(q, math.nan, math.nan, math.inf, False, stop_reason, history, fitted)
            log_ratios.append(np.asarray(block.log_ratios, np.float64))
            rest = _of_pairs(block.log_ratios) - _of_pairs(block.controls) @ weights
            means.append(rest.reshape(_SEQUENCES, -1).mean(1))
        elbo = float(np.mean(means))
        # what half of them say as well, or it would end where the standard error happens to be too small
        stderr = max(_stderr(means), _stderr(means[: len(means) // 2]) / 2**0.5)
        count *= 2
        if stderr > elbo_tol / 2 and count <= most:
            continue
        unknown = rounding(elbo, np.dtype(float) if fitted.double else dtype)
        if unknown > MOST_ROUNDING:
            return Inference(q, elbo, stderr, math.nan, converged, stop_reason, history, fitted)
        # a ratio is a difference of two such numbers
        tail = smooth(np.concatenate(log_ratios), 2 * unknown)
        clear = tail.conclusive and all(abs(tail.khat - bound) > 2 * tail.khat_stderr for bound in (_CLOSE, _USABLE))
        if count > _CLEAR or clear:
            return Inference(q, elbo, stderr, tail.khat, converged, stop_reason, history, fitted)


def _stderr(means: list[np.ndarray]) -> float:
    """Of the average of all, from those of each sequence."""
    return float(np.mean(means, 0).std(ddof=1)) / _SEQUENCES**0.5


def _of_pairs(values: Array) -> np.ndarray:
    """The means of the mirrored pairs of a block."""
    return np.asarray(values, np.float64).reshape(2, -1, *values.shape[1:]).mean(0)


def _regressed(block: Block) -> np.ndarray:
    """How much of each control to take off, so that what is left varies least; of the first at most all."""
    if not (np.isfinite(block.log_ratios).all() and np.isfinite(block.controls).all()):
        return np.zeros(2)
    values, controls = _of_pairs(block.log_ratios), _of_pairs(block.controls)
    values, controls = values - values.mean(), controls - controls.mean(0)
    # where q is the parabola's own normal, the first is rounding, and of that any multiple would come out
    first = np.clip(np.linalg.lstsq(controls, values)[0][0], 0, 1)
    square = float(controls[:, 1] @ controls[:, 1])
    second = controls[:, 1] @ (values - first * controls[:, 0]) / square if square > 0 else 0.0
    return np.array([first, second])


@compiled
def _block(fitted: Fitted, noise: Float[Array, "draws noise"]) -> Block:
    problem, member, _ = fitted
    u = member.draws(noise)
    z = problem.frame.z(u)
    log_density = jax.lax.map(problem.target.log_density, z, batch_size=_CHUNK)
    log_q: Any = fitted.posterior().log_prob(z)
    if member.family.moments(member.parameters) is None:
        # nor is the entropy known
        return Block(z, log_density, log_density - log_q, jnp.zeros((len(z), 2), z.dtype))
    mean = problem.parabola.mean(member)
    about_entropy = log_q + problem.exact(member, noise) - mean
    controls = jnp.stack([problem.parabola(u) - mean - about_entropy, about_entropy], axis=1)
    return Block(z, log_density, log_density - log_q, controls)


@compiled
def _double_block(fitted: Fitted, noise: Float[Array, "draws noise"]) -> Block:
    return _block(_doubled(fitted), noise)


@compiled
def _double_log_densities(fitted: Fitted, noise: Float[Array, "draws noise"]) -> Float[Array, " draws"]:
    problem, member, _ = _doubled(fitted)
    return jax.lax.map(problem.target.log_density, problem.frame.z(member.draws(noise)))


def _doubled(fitted: Fitted) -> Fitted:
    """All its numbers in double precision, data among them: in single, ln y! is off by 0.5 nats at a count of 10⁶."""

    def double(leaf: Any) -> Any:
        floats = eqx.is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.floating)
        return leaf.astype(jnp.float64) if floats else leaf

    return jax.tree.map(double, fitted)


def _reading(khat: float) -> str:
    if math.isnan(khat):
        return "not known"
    if khat < _CLOSE:
        return "below 0.5, q is close to the posterior"
    if khat < _USABLE:
        return 'below 0.7, q is usable; sample(resample="psis") corrects it by importance'
    return "above 0.7, do not rely on q, nor on importance weights; try another posterior or parameterisation"
