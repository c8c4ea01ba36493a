import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from varinf._checks import at_least_one, known
from varinf.errors import InputError
from varinf.inference._bound import Frame
from varinf.inference._draws import normal_draws, seeds
from varinf.inference._psis import smooth
from varinf.models import AbstractTarget
from varinf.posteriors import AbstractFamily

_BLOCK, _CHUNK = 1024, 128  # draws in one call, and those whose densities are worked out at once
_LEAST, _MOST = 8, 1024  # blocks that the elbo is worked out from
_PROPOSALS = 10  # for each draw that is resampled


class Fitted(NamedTuple):
    """A density, and the q that was fitted to it.

    Attributes:
        target: the density.
        family: q's.
        frame: z = shift + scale u.
        parameters: of u's distribution in the family.
    """

    target: AbstractTarget
    family: AbstractFamily
    frame: Frame
    parameters: Float[Array, " parameters"]

    def posterior(self) -> Any:
        """q over z."""
        return self.family.moved(self.parameters, *self.frame)

    def block(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Some draws z from q, `[n, dim]`, and ln p − ln q of each; averages over them are without bias."""
        width = self.family.num_noise(len(self.frame.shift))
        noise = normal_draws(_BLOCK, width, seed, match=False).astype(self.frame.shift.dtype)
        z, log_ratios = _log_ratios(self, jnp.asarray(noise))
        return np.asarray(z), np.asarray(log_ratios, np.float64)


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
            resample: "psis" draws them anew by their smoothed importance weights, which corrects q where khat < 0.7.
            key: for the draws.

        Returns:
            For a NumPyro model a dict by site, deterministic ones included; for a log density a tree like its `init`.
            A leading axis `[num_samples]`.
        """
        at_least_one("num_samples", num_samples)
        if resample is None:
            z = self.posterior.sample(key, (num_samples,))
        else:
            known("way to resample", resample, ("psis",))
            draw_seed, choice_seed = seeds(key, 2)
            blocks = [self.fitted.block(draw_seed + i) for i in range(-(-_PROPOSALS * num_samples // _BLOCK))]
            z, log_ratios = (np.concatenate(part) for part in zip(*blocks, strict=True))
            weights = np.exp(smooth(log_ratios).log_weights)
            chosen = np.random.default_rng(choice_seed).choice(len(z), num_samples, p=weights / weights.sum())
            z = jnp.asarray(z[chosen])
        return jax.vmap(self.fitted.target.constrain)(z)

    def to_arviz(self, num_samples: int = 1000, *, resample: str | None = None, key: PRNGKeyArray) -> Any:
        """Draws as ArviZ takes them, as one chain.

        Raises:
            InputError: ArviZ is not installed, or the draws are no dict by name.
        """
        try:
            import arviz  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise InputError("to_arviz needs ArviZ; pip install arviz") from None
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


def measured(
    fitted: Fitted,
    history: dict[str, list[float]],
    converged: bool,
    stop_reason: str,
    elbo_tol: float,
    *,
    key: PRNGKeyArray,
) -> Inference:
    """A result, with its elbo and k-hat from new draws: as many as bring the standard error down to `elbo_tol`."""
    (seed,), q = seeds(key, 1), fitted.posterior()
    blocks: list[np.ndarray] = []
    means: list[float] = []
    stderr = math.inf
    while len(blocks) < _LEAST or (stderr > elbo_tol and len(blocks) < _MOST):
        blocks.append(fitted.block(seed + len(blocks))[1])
        if not np.isfinite(blocks[-1]).all():
            share = float(np.mean(~np.isfinite(blocks[-1])))
            stop_reason = f"{share:.1%} of q's draws have a log density that is not finite; {stop_reason}"
            return Inference(q, math.nan, math.nan, math.inf, False, stop_reason, history, fitted)
        means.append(float(blocks[-1].mean()))
        stderr = float(np.std(means, ddof=min(1, len(means) - 1)) / len(means) ** 0.5)
    elbo = float(np.mean(means))
    rounding = 1024 * float(jnp.finfo(fitted.frame.shift.dtype).eps) * (1 + abs(elbo))
    khat = smooth(np.concatenate(blocks), rounding).khat
    return Inference(q, elbo, stderr, khat, converged, stop_reason, history, fitted)


@eqx.filter_jit
def _log_ratios(fitted: Fitted, noise: Float[Array, "draws noise"]) -> tuple[Array, Array]:
    z = fitted.frame.z(fitted.family.from_noise(fitted.parameters, noise))
    log_density = jax.lax.map(fitted.target.log_density, z, batch_size=_CHUNK)
    return z, log_density - fitted.posterior().log_prob(z)


def _reading(khat: float) -> str:
    if khat < 0.5:
        return "below 0.5, q is close to the posterior"
    if khat < 0.7:
        return 'below 0.7, q is usable; sample(resample="psis") corrects it by importance'
    return "above 0.7, do not rely on q, nor on importance weights; try another posterior or parameterisation"
