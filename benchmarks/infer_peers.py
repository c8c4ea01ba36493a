"""Time to within 0.01 nats of the optimum: `vi.infer`, NumPyro's SVI, BlackJAX's VI, in one run, in double precision.

    python -m benchmarks.infer_peers [--only WORD] [--seconds 60]

The peers use Adam at the best of three step sizes (0.1, 0.01, 0.001), NumPyro with one draw a step as by default,
BlackJAX with its default 100 and sticking the landing. They are let off working out when to stop: after each piece of
steps their q is evaluated, outside the time, on one large set of fixed draws, and the clock is stopped when it is
within 0.01 nats of the best that any of them found. No time has compilation in it, but for that of the first call of
`vi.infer`. Of its second the fit alone is what the peers are compared with, its own stopping rule included; the whole,
with the elbo and k-hat from new draws, which the peers do not give, is beside it.

Each step size gets as long as the whole call of `vi.infer` took, and the best of them then up to four times as long:
what is not there by then is given as a lower bound on its time. No run is longer than --seconds.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import optax
from numpyro import distributions as dist
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoMultivariateNormal, AutoNormal

import varinf as vi
from benchmarks._compare import report
from varinf.inference import _infer
from varinf.inference._draws import normal_draws
from varinf.models import NumpyroModel

STEP_SIZES = (0.1, 0.01, 0.001)
TOLERANCE, LONGEST = 0.01, 4.0
ROWS = 10_000
PIECES = 40  # of a run, about
JUDGED = 1024  # draws that a q is judged by
EFFECTS = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
ERRORS = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])


def linear(x: jax.Array, y: jax.Array) -> None:
    """Linear regression with known noise."""
    w = numpyro.sample("w", dist.Normal(0, 1).expand([x.shape[1]]).to_event(1))
    numpyro.sample("y", dist.Normal(x @ w, 0.5), obs=y)


def logistic(x: jax.Array, y: jax.Array) -> None:
    """Logistic regression."""
    w = numpyro.sample("w", dist.Normal(0, 1).expand([x.shape[1]]).to_event(1))
    numpyro.sample("y", dist.Bernoulli(logits=x @ w), obs=y)


def schools(effects: jax.Array, errors: jax.Array) -> None:
    """Eight schools, not centred."""
    mu = numpyro.sample("mu", dist.Normal(0, 5))
    tau = numpyro.sample("tau", dist.HalfCauchy(5))
    with numpyro.plate("schools", 8):
        z = numpyro.sample("z", dist.Normal(0, 1))
        numpyro.sample("effect", dist.Normal(mu + tau * z, errors), obs=effects)


def problems() -> Iterator[tuple[str, Callable, tuple]]:
    """Name, model and data of each."""
    for dim in (10, 1000):
        rng = np.random.default_rng(dim)
        x, w = rng.normal(size=(ROWS, dim)), rng.normal(size=dim) / dim**0.5
        yield f"linear {dim}", linear, (jnp.asarray(x), jnp.asarray(x @ w + 0.5 * rng.normal(size=ROWS)))
        labels = rng.random(ROWS) < 1 / (1 + np.exp(-x @ w))
        yield f"logistic {dim}", logistic, (jnp.asarray(x), jnp.asarray(labels, float))
    yield "eight schools", schools, (EFFECTS, ERRORS)


class Normal(NamedTuple):
    """A q: mean, and standard deviations or a triangular factor."""

    loc: jax.Array
    scale: jax.Array


class Peer(NamedTuple):
    """A way to fit: a state to begin with, some steps of it in one compiled call, and the q it holds."""

    start: Any
    steps: Callable[[Any, int], Any]
    q: Callable[[Any], Normal]


def numpyro_svi(model: Callable, args: tuple, family: str, step_size: float) -> Peer:
    """NumPyro's SVI with its automatic guide."""
    guide = (AutoNormal if family == "mean_field" else AutoMultivariateNormal)(model)
    svi = SVI(model, guide, optax.adam(step_size), Trace_ELBO())

    def q(state: Any) -> Normal:
        params = svi.get_params(state)
        if family == "full_rank":
            return Normal(params["auto_loc"], params["auto_scale_tril"])
        names = sorted(name.removesuffix("_auto_loc") for name in params if name.endswith("_auto_loc"))
        parts = [[jnp.ravel(params[f"{name}_auto_{part}"]) for name in names] for part in ("loc", "scale")]
        return Normal(*map(jnp.concatenate, parts))

    def steps(state: Any, count: int) -> Any:
        return jax.lax.fori_loop(0, count, lambda _, state: svi.update(state, *args)[0], state)

    return Peer(svi.init(jax.random.key(0), *args), jax.jit(steps), q)


def blackjax_vi(log_density: Callable, dim: int, family: str, step_size: float) -> Peer:
    """BlackJAX's VI of the same density."""
    import blackjax

    kind = blackjax.vi.meanfield_vi if family == "mean_field" else blackjax.vi.fullrank_vi
    algorithm = kind.as_top_level_api(log_density, optax.adam(step_size))

    def steps(state: Any, count: int) -> Any:
        def step(_: Any, carry: Any) -> Any:
            state, key = carry
            key, own = jax.random.split(key)
            return algorithm.step(own, state)[0], key

        return jax.lax.fori_loop(0, count, step, state)

    def q(state: Any) -> Normal:
        state, _ = state
        if family == "mean_field":
            return Normal(state.mu, jnp.exp(state.rho))
        below = jnp.zeros((dim, dim)).at[jnp.tril_indices(dim, -1)].set(state.chol_params[dim:])
        return Normal(state.mu, below + jnp.diag(jnp.exp(state.chol_params[:dim])))

    return Peer((algorithm.init(jnp.zeros(dim)), jax.random.key(1)), jax.jit(steps), q)


def judge(target: NumpyroModel, dim: int) -> Callable[[Normal], float]:
    """The elbo of a q on one set of draws, the same for all."""
    noise = jnp.asarray(normal_draws(JUDGED, dim, 12345, match=True))

    @jax.jit
    def elbo(q: Normal) -> jax.Array:
        full = q.scale.ndim == 2
        z = q.loc + (noise @ q.scale.T if full else noise * q.scale)
        spread = jnp.abs(jnp.diagonal(q.scale)) if full else q.scale
        entropy = jnp.log(spread).sum() + 0.5 * dim * (1 + jnp.log(2 * jnp.pi))
        return jax.lax.map(target.log_density, z, batch_size=128).mean() + entropy

    return lambda q: float(elbo(q))


class Stopwatch:
    """A function, and how long its last call took."""

    def __init__(self, function: Callable):
        self.function, self.seconds = function, 0.0

    def __call__(self, *args: Any) -> Any:
        began = time.perf_counter()
        result = self.function(*args)
        self.seconds = time.perf_counter() - began
        return result


class Run:
    """A peer at one step size, whose q is looked at after each piece of steps."""

    def __init__(self, peer: Peer, elbo: Callable[[Normal], float]):
        self.peer, self._elbo, self._state = peer, elbo, peer.start
        self.seconds, self.seen, self._count = 0.0, [], 1
        jax.block_until_ready(peer.steps(self._state, 1))  # compiles

    def go_on(self, seconds: float) -> None:
        """Until it has run so long in all."""
        while self.seconds < seconds:
            began = time.perf_counter()
            self._state = jax.block_until_ready(self.peer.steps(self._state, self._count))
            took = time.perf_counter() - began
            self.seconds += took
            self.seen.append((self.seconds, self._elbo(self.peer.q(self._state))))
            self._count = max(1, min(10 * self._count, int(self._count * seconds / PIECES / took)))

    def best(self) -> float:
        """The highest elbo seen."""
        return max((elbo for _, elbo in self.seen if np.isfinite(elbo)), default=-np.inf)

    def reached(self, elbo: float) -> float | None:
        """When it first had this elbo, in seconds."""
        return next((seconds for seconds, seen in self.seen if seen >= elbo), None)


def compare(name: str, model: Callable, args: tuple, family: str, longest: float) -> str:
    """A line of the table."""
    target = NumpyroModel(model, args, {})
    dim = len(target.start)
    elbo = judge(target, dim)
    own = []
    verdict = Stopwatch(_infer.measured)
    _infer.measured = verdict
    for seed in (0, 1):
        began = time.perf_counter()
        found = vi.infer(model, *args, posterior=family, elbo_tol=TOLERANCE, key=jax.random.key(seed))
        own.append(time.perf_counter() - began)
    _infer.measured = verdict.function
    fit = own[1] - verdict.seconds
    q = found.posterior
    ours = elbo(Normal(q.mean, q.scale_tril if family == "full_rank" else jnp.sqrt(q.variance)))
    peers = {"NumPyro": [], "BlackJAX": []}
    for step_size in STEP_SIZES:
        peers["NumPyro"].append(Run(numpyro_svi(model, args, family, step_size), elbo))
        peers["BlackJAX"].append(Run(blackjax_vi(target.log_density, dim, family, step_size), elbo))
    chosen = {}
    for peer, runs in peers.items():
        for run in runs:
            run.go_on(min(own[1], longest))
        chosen[peer] = max(runs, key=Run.best)
        chosen[peer].go_on(min(LONGEST * own[1], longest))
    optimum = max(ours, *(run.best() for run in chosen.values()))
    converged = "yes" if found.converged else "NO"
    cells = [f"{name:14}{family:11}{own[0]:8.2f}{own[1]:8.2f}{fit:8.2f}{optimum - ours:9.5f}{converged:>6}"]
    for run in chosen.values():
        when, gap = run.reached(optimum - TOLERANCE), optimum - run.best()
        cells.append(f"{'' if when else '>'}{(when or run.seconds) / fit:.2f} x (gap {gap:.4f})".rjust(28))
    return "".join(cells)


def main() -> None:
    """Each problem with each family."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only problems whose name holds this")
    parser.add_argument("--seconds", type=float, default=60.0, help="of a peer's run, at most")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    lines = [
        f"{'problem':14}{'family':11}{'first':>8}{'second':>8}{'fit':>8}{'gap':>9}{'conv.':>6}{'NumPyro':>28}{'BlackJAX':>28}"
    ]
    for name, model, args in problems():
        for family in ("mean_field", "full_rank"):
            if options.only in f"{name} {family}":
                lines.append(compare(name, model, args, family, options.seconds))
                # after each, so that a run that is stopped leaves what it has
                report("_".join(["infer_peers", *options.only.split()]), "\n".join(lines))


if __name__ == "__main__":
    main()
