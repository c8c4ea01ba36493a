"""What `vi.infer` comes to on models of many kinds, easy and hard: time, bound, k-hat, whether it converged.

    python -m benchmarks.infer_models [--only NAME] [--float32]

Where the evidence is known, it is beside the bound: the bound may not be above it, and is near it where the posterior
is close to a normal in unconstrained space. Times are of a first call, compilation included.
"""

import argparse
import math
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro import distributions as dist
from scipy.special import gammaln

import varinf as vi
from benchmarks._compare import report

FAMILIES = ("mean_field", "full_rank")
RNG = np.random.default_rng(0)
X = RNG.normal(size=600)
GROUP = RNG.integers(0, 30, 600)
GROUPED = RNG.normal(1, 0.7, 30)[GROUP] + 0.5 * X + RNG.normal(0, 0.8, 600)
TRIPLES = RNG.multivariate_normal(np.zeros(3), [[1, 0.6, 0.2], [0.6, 2, -0.3], [0.2, -0.3, 0.5]], size=200)
LEVELS = np.digitize(X + RNG.logistic(size=600), [-1, 0, 1])
WIDE = RNG.normal(size=(100, 20))
SPARSE = np.array([2, -1.5, 1] + [0] * 17)
RESPONSE = WIDE @ SPARSE + RNG.normal(size=100)
COUNTS = RNG.poisson(np.exp(0.3 + WIDE @ SPARSE / 4))
TWO_PARTS = np.concatenate([RNG.normal(-2, 0.5, 60), RNG.normal(1, 1, 90)])
PATH = np.cumsum(RNG.normal(0, 0.3, 100)) + RNG.normal(0, 0.5, 100)
TIMES = np.linspace(0, 1, 30)
CURVE = np.sin(6 * TIMES) + RNG.normal(0, 0.2, 30)
FAR = 3e5 + 2e3 * RNG.normal(size=50)
VOTES = np.array([30, 20, 9, 1])


def funnel() -> None:
    """Neal's."""
    v = numpyro.sample("v", dist.Normal(0, 3))
    numpyro.sample("x", dist.Normal(0, jnp.exp(v / 2)).expand([9]).to_event(1))


def correlation() -> None:
    """A covariance of three, by its correlation and scales."""
    factor = numpyro.sample("factor", dist.LKJCholesky(3, 2.0))
    scale = numpyro.sample("scale", dist.HalfNormal(2).expand([3]).to_event(1))
    mean = numpyro.sample("mean", dist.Normal(0, 5).expand([3]).to_event(1))
    with numpyro.plate("rows", len(TRIPLES)):
        numpyro.sample("y", dist.MultivariateNormal(mean, scale_tril=scale[:, None] * factor), obs=TRIPLES)


def groups(centred: bool) -> Callable[[], None]:
    """Partial pooling of thirty groups."""

    def model() -> None:
        mean = numpyro.sample("mean", dist.Normal(0, 5))
        spread = numpyro.sample("spread", dist.HalfCauchy(2))
        slope = numpyro.sample("slope", dist.Normal(0, 5))
        noise = numpyro.sample("noise", dist.HalfCauchy(2))
        with numpyro.plate("groups", 30):
            z = numpyro.sample("z", dist.Normal(mean, spread) if centred else dist.Normal(0, 1))
        level = z if centred else mean + spread * z
        with numpyro.plate("rows", 600):
            numpyro.sample("y", dist.Normal(level[GROUP] + slope * X, noise), obs=GROUPED)

    return model


def votes() -> None:
    """Shares of four."""
    shares = numpyro.sample("shares", dist.Dirichlet(jnp.ones(4)))
    numpyro.sample("votes", dist.Multinomial(int(VOTES.sum()), shares), obs=VOTES)


def ordinal() -> None:
    """Ordered levels, by cut points."""
    ordered = dist.transforms.OrderedTransform()
    cuts = numpyro.sample("cuts", dist.TransformedDistribution(dist.Normal(0, 2).expand([3]).to_event(1), ordered))
    slope = numpyro.sample("slope", dist.Normal(0, 2))
    with numpyro.plate("rows", 600):
        numpyro.sample("y", dist.OrderedLogistic(slope * X, cuts), obs=LEVELS)


def horseshoe() -> None:
    """Sparse regression."""
    overall = numpyro.sample("overall", dist.HalfCauchy(1))
    own = numpyro.sample("own", dist.HalfCauchy(1).expand([20]).to_event(1))
    z = numpyro.sample("z", dist.Normal(0, 1).expand([20]).to_event(1))
    noise = numpyro.sample("noise", dist.HalfNormal(2))
    numpyro.sample("y", dist.Normal(WIDE @ (overall * own * z), noise).to_event(1), obs=RESPONSE)


def poisson() -> None:
    """Counts by a rate."""
    w = numpyro.sample("w", dist.Normal(0, 1).expand([20]).to_event(1))
    bias = numpyro.sample("bias", dist.Normal(0, 2))
    numpyro.sample("y", dist.Poisson(jnp.exp(bias + WIDE @ w)).to_event(1), obs=COUNTS)


def mixture() -> None:
    """Two normals, whose discrete sites are summed out; they may change places."""
    share = numpyro.sample("share", dist.Dirichlet(jnp.ones(2)))
    mean = numpyro.sample("mean", dist.Normal(0, 3).expand([2]).to_event(1))
    scale = numpyro.sample("scale", dist.HalfNormal(2).expand([2]).to_event(1))
    with numpyro.plate("rows", 150):
        part = numpyro.sample("part", dist.Categorical(share))
        numpyro.sample("y", dist.Normal(mean[part], scale[part]), obs=TWO_PARTS)


def walk() -> None:
    """A random walk of a hundred steps, seen through noise."""
    step = numpyro.sample("step", dist.HalfNormal(1))
    noise = numpyro.sample("noise", dist.HalfNormal(1))
    level = numpyro.sample("level", dist.GaussianRandomWalk(step, num_steps=100))
    numpyro.sample("y", dist.Normal(level, noise).to_event(1), obs=PATH)


def process() -> None:
    """A Gaussian process, by its three numbers."""
    height = numpyro.sample("height", dist.LogNormal(0, 1))
    width = numpyro.sample("width", dist.InverseGamma(3, 1))
    noise = numpyro.sample("noise", dist.HalfNormal(0.5))
    kernel = height * jnp.exp(-0.5 * (TIMES[:, None] - TIMES) ** 2 / width**2) + (noise**2 + 1e-5) * jnp.eye(30)
    numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(30), kernel), obs=CURVE)


def bounded() -> None:
    """Near the end of an interval."""
    numpyro.sample("y", dist.Normal(numpyro.sample("a", dist.Uniform(0, 10)), 1), obs=9.9)


def large() -> None:
    """Numbers far from one."""
    mean = numpyro.sample("mean", dist.Normal(0, 1e6))
    scale = numpyro.sample("scale", dist.HalfNormal(1e5))
    numpyro.sample("y", dist.Normal(mean, scale).expand([50]).to_event(1), obs=FAR)


def separable() -> None:
    """Classes that a line parts."""
    x = np.linspace(-1, 1, 40)
    w = numpyro.sample("w", dist.Normal(0, 10))
    numpyro.sample("y", dist.Bernoulli(logits=w * x).to_event(1), obs=(x > 0).astype(float))


def density(fn: Callable, dim: int) -> vi.LogDensity:
    """One that is normalised."""
    return vi.LogDensity(fn, jnp.zeros(dim))


def two_modes(z: jax.Array) -> jax.Array:
    """Far apart, with a half each."""
    return jnp.logaddexp(*(dist.Normal(at, 1).log_prob(z).sum() for at in (-3.0, 3.0))) - math.log(2)


def models() -> dict[str, tuple[Callable | vi.LogDensity, float | None]]:
    """Model and evidence of each, where that is known."""
    integral = math.log(math.erf(0.1 / math.sqrt(2)) / 2 + math.erf(9.9 / math.sqrt(2)) / 2) - math.log(10)
    # of 60 votes, each division among four is as likely as another
    of_votes = float(gammaln(61) + gammaln(4) - gammaln(64))
    wide = dist.MultivariateStudentT(5.0, jnp.zeros(50), jnp.eye(50))
    return {
        "funnel": (funnel, 0.0),
        "correlation": (correlation, None),
        "groups centred": (groups(True), None),
        "groups not": (groups(False), None),
        "votes": (votes, of_votes),
        "ordinal": (ordinal, None),
        "horseshoe": (horseshoe, None),
        "poisson": (poisson, None),
        "mixture": (mixture, None),
        "walk": (walk, None),
        "process": (process, None),
        "bounded": (bounded, integral),
        "large": (large, None),
        "separable": (separable, None),
        "two modes": (density(two_modes, 2), 0.0),
        "Cauchy": (density(lambda z: dist.Cauchy().log_prob(z).sum(), 1), 0.0),
        "Laplace": (density(lambda z: dist.Laplace(1, 2).log_prob(z).sum(), 3), 0.0),
        "Student t": (density(wide.log_prob, 50), 0.0),
    }


def main() -> None:
    """Each model with each family."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only models whose name holds this")
    parser.add_argument("--float32", action="store_true")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", not options.float32)
    lines = [f"{'model':15}{'posterior':11}{'seconds':>8}{'elbo':>11}{'±':>8}{'evidence':>10}{'k-hat':>7}  converged"]
    for name, (model, evidence) in models().items():
        for family in FAMILIES if options.only in name else ():
            began = time.perf_counter()
            found = vi.infer(model, posterior=family, key=jax.random.key(0))
            took = time.perf_counter() - began
            known = "" if evidence is None else f"{evidence:.4f}"
            cells = f"{took:8.1f}{found.elbo:11.4f}{found.elbo_stderr:8.4f}{known:>10}{found.khat:7.2f}"
            verdict = "yes" if found.converged else f"NO: {found.stop_reason}"
            lines.append(f"{name:15}{family:11}{cells}  {verdict}")
            print(lines[-1], flush=True)
    report(
        "_".join(["infer_models", *options.only.split(), *(["float32"] if options.float32 else [])]), "\n".join(lines)
    )


if __name__ == "__main__":
    main()
