import math
import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from varinf._checks import at_least_one, known
from varinf._compiled import compiled
from varinf.errors import InputError
from varinf.inference._bound import Member, Problem
from varinf.inference._draws import normal_draws, seeds
from varinf.inference._psis import smooth

_BLOCK, _CHUNK = 1024, 128  # draws in one call, and those whose densities are worked out at once
_LEAST, _MOST = 8, 1024  # blocks that the elbo is worked out from
_PROPOSALS = 100  # at most, for each draw that is resampled


class Fitted(NamedTuple):
    """A density, and the q that was fitted to it.

    Attributes:
        problem: the density, and the coordinates that q is in.
        member: q in them.
    """

    problem: Problem
    member: Member

    @compiled
    def posterior(self) -> Any:
        """q over z."""
        return self.member.family.moved(self.member.parameters, *self.problem.frame)

    def block(self, seed: int) -> "Block":
        """Some draws from q; averages over them are without bias."""
        dim = len(self.problem.frame.shift)
        noise = normal_draws(_BLOCK, self.member.family.num_noise(dim), seed, match=False)
        return _block(self, jnp.asarray(noise.astype(self.problem.frame.shift.dtype)))


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
    """Draws from q.

    Attributes:
        z: the draws, `[n, dim]`.
        log_ratios: ln p − ln q of each.
        control: what goes with them and has mean zero under q, of each: the parabola less ln q.
    """

    z: Array
    log_ratios: Float[Array, " n"]
    control: Float[Array, " n"]


@dataclass(frozen=True)
class Inference:
    """A posterior that was inferred, and whether to trust it.

    Attributes:
        posterior: q over the unconstrained space, a Distribution with event shape `[dim]`.
        elbo: E_q[ln p − ln q] in nats, a lower bound on the evidence: the average over draws of q, by randomised
            quasi-Monte Carlo.
        elbo_stderr: its standard error, from independent blocks of draws.
        khat: the Pareto-smoothed importance-sampling diagnostic (Vehtari et al. 2024); 0 where the importance ratios
            are constant to rounding. Below 0.5 q is close to the posterior, below 0.7 `sample(resample="psis")` puts
            it right, and above neither can be relied on.
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
        while True:
            for _ in range(max(1, len(blocks))):  # twice as many
                blocks.append(self.fitted.block(seed + len(blocks)))
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
    """A result, with its elbo and k-hat from new draws: as many as bring the standard error down to `elbo_tol`."""
    fitted, converged, stop_reason = ended.fitted, ended.converged, ended.reason
    history = dict(zip(Stage._fields, map(list, zip(*ended.stages, strict=True)), strict=True))
    q, pilot = fitted.posterior(), fitted.block(seed)
    weight = _regressed(np.asarray(pilot.log_ratios, np.float64), np.asarray(pilot.control, np.float64))
    blocks: list[np.ndarray] = []
    means: list[float] = []
    stderr = math.inf
    while len(blocks) < _LEAST or (stderr > elbo_tol and len(blocks) < _MOST):
        block = fitted.block(seed + 1 + len(blocks))
        log_ratios, control = (np.asarray(part, np.float64) for part in (block.log_ratios, block.control))
        if not np.isfinite(log_ratios).all():
            share = float(np.mean(~np.isfinite(log_ratios)))
            stop_reason = f"{share:.1%} of q's draws have a log density that is not finite; {stop_reason}"
            return Inference(q, math.nan, math.nan, math.inf, False, stop_reason, history, fitted)
        blocks.append(log_ratios)
        means.append(float((log_ratios - weight * control).mean()))
        stderr = float(np.std(means, ddof=min(1, len(means) - 1)) / len(means) ** 0.5)
    elbo = float(np.mean(means))
    rounding = 1024 * float(jnp.finfo(fitted.problem.frame.shift.dtype).eps) * (1 + abs(elbo))
    khat = smooth(np.concatenate(blocks), rounding).khat
    return Inference(q, elbo, stderr, khat, converged, stop_reason, history, fitted)


def _regressed(values: np.ndarray, control: np.ndarray) -> float:
    """How much of a control to take off, at most all of it, so that what is left varies least."""
    centred = control - control.mean()
    square = float(centred @ centred)
    weight = float(centred @ values) / square if square > 0 else 0.0
    # where q is the parabola's own normal, the control is rounding, and of that any multiple would come out
    return min(max(weight, 0.0), 1.0) if math.isfinite(weight) else 0.0


@compiled
def _block(fitted: Fitted, noise: Float[Array, "draws noise"]) -> Block:
    problem, member = fitted
    u = member.draws(noise)
    z = problem.frame.z(u)
    log_density = jax.lax.map(problem.target.log_density, z, batch_size=_CHUNK)
    log_q: Any = fitted.posterior().log_prob(z)
    control = problem.parabola(u) - log_q - problem.exact(member, noise)
    return Block(z, log_density - log_q, control)


def _reading(khat: float) -> str:
    if khat < 0.5:
        return "below 0.5, q is close to the posterior"
    if khat < 0.7:
        return 'below 0.7, q is usable; sample(resample="psis") corrects it by importance'
    return "above 0.7, do not rely on q, nor on importance weights; try another posterior or parameterisation"
