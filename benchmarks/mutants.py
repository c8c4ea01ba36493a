"""Do the tests catch wrong mathematics? Named errors are planted one at a time, and the tests must fail.

    python -m benchmarks.mutants [--only WORD] [--jobs 2]

Each error is one replacement in a copy of the sources, of a text that occurs there once. Of the tests, the files named
with it are run; they are run without an error first, and must pass.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks._compare import report

ROOT = Path(__file__).parent.parent


class Mutant(NamedTuple):
    """An error: in `file`, `right` is replaced by `wrong`, and one of `tests` is to fail."""

    name: str
    file: str
    right: str
    wrong: str
    tests: str


MUTANTS = [
    Mutant(
        "a KL averaged over dimensions instead of summed",
        "distributions/_kl/_registry.py",
        "return kl_per_dimension(q, p).sum(-1)",
        "return kl_per_dimension(q, p).mean(-1)",
        "tests/distributions/test_kl.py",
    ),
    Mutant(
        "1/N missing before the KL of a global latent",
        "objectives/_elbo.py",
        "share = 1 / terms.batch.num_data if latent.is_global else 1.0",
        "share = 1.0",
        "tests/objectives/test_objectives.py",
    ),
    Mutant(
        "N/B missing for a subsampled plate",
        "models/_plates.py",
        '(terms if site["scale"] is None else site["scale"] * terms).sum()',
        "terms.sum()",
        "tests/models/test_numpyro.py",
    ),
    Mutant(
        "ln σ taken for σ",
        "distributions/_diag_normal.py",
        "log_density = -0.5 * standard**2 - jnp.log(self.scale_diag)",
        "log_density = -0.5 * standard**2 - self.scale_diag",
        "tests/distributions/test_contract.py",
    ),
    Mutant(
        "a prior that is trained",
        "_tree.py",
        "return isinstance(node, (Constant, Distribution))",
        "return isinstance(node, Constant)",
        "tests/test_tree.py",
    ),
    Mutant(
        "sticking the landing with ln q not stopped",
        "models/_vae.py",
        "(jax.lax.stop_gradient(q) if request.stop_posterior else q).log_prob(z, *known)",
        "q.log_prob(z, *known)",
        "tests/objectives/test_objectives.py",
    ),
    Mutant(
        "DReG with one power of the weights",
        "objectives/_iwae.py",
        "lambda g: g * weights.reshape(weights.shape + (1,) * (g.ndim - 2))",
        "lambda g: g",
        "tests/objectives/test_objectives.py",
    ),
    Mutant(
        "the log-determinant of the data's scaling missing",
        "models/_vae.py",
        "self.decoder(z).log_prob(batch.data) + self.observation.log_det()",
        "self.decoder(z).log_prob(batch.data)",
        "tests/models/test_vae.py",
    ),
    Mutant(
        "the log-determinant of the coordinates missing in infer",
        "inference/_bound.py",
        "return self.parabola.mean(member) + member.family.entropy(member.parameters, noise) + self.frame.log_det()",
        "return self.parabola.mean(member) + member.family.entropy(member.parameters, noise)",
        "tests/inference/test_infer.py",
    ),
    Mutant(
        "the log-determinant of a bijector missing",
        "models/_plates.py",
        'site["fn"].log_prob(site["value"]) + log_dets.get(name, 0.0)',
        'site["fn"].log_prob(site["value"])',
        "tests/models/test_numpyro.py",
    ),
    Mutant(
        "a mean over draws taken of the logarithms",
        "objectives/_iwae.py",
        "return jax.nn.logsumexp(log_weights, axis=0) - math.log(len(log_weights))",
        "return log_weights.mean(0)",
        "tests/objectives/test_objectives.py",
    ),
    Mutant(
        "a baseline with the draw's own value in it",
        "objectives/_score_function.py",
        "jax.lax.stop_gradient(values - values.mean(0)) * (len(values) / (len(values) - 1))",
        "jax.lax.stop_gradient(values - values.mean(0))",
        "tests/objectives/test_score_function.py",
    ),
    Mutant(
        "VIMCO's guess with the draw's own weight in it",
        "objectives/_score_function.py",
        "others_mean = jnp.where(own, 0, log_weights).sum(1) / (len(log_weights) - 1)",
        "others_mean = jnp.broadcast_to(log_weights.mean(0), log_weights.shape)",
        "tests/objectives/test_score_function.py",
    ),
    Mutant(
        "the KL the wrong way round",
        "models/_vae.py",
        "kl = kl_per_dimension(q, prior)",
        "kl = kl_per_dimension(prior, q)",
        "tests/objectives/test_objectives.py",
    ),
    Mutant(
        "β in the metric elbo, not in the loss alone",
        "objectives/_elbo.py",
        '"elbo": reconstruction - kl,',
        '"elbo": reconstruction - beta * kl,',
        "tests/objectives/test_objectives.py",
    ),
    Mutant(
        "rows that fill up a batch counted",
        "objectives/_terms.py",
        "weight = self.batch.mask.astype(values.dtype)\n        return (weight * values)",
        "weight = 0 * values + 1\n        return (weight * values)",
        "tests/objectives/test_objectives.py",
    ),
    Mutant(
        "draws with the variance for the standard deviation",
        "distributions/_diag_normal.py",
        "return self.loc + self.scale_diag * noise",
        "return self.loc + self.scale_diag**2 * noise",
        "tests/distributions/test_contract.py",
    ),
    Mutant(
        "importance weights without the prior",
        "objectives/_terms.py",
        "total -= latent.log_ratio",
        "total -= latent.log_posterior",
        "tests/objectives/test_objectives.py",
    ),
    Mutant(
        "Adam's bias corrected by steps for rows visited once an epoch",
        "train/_per_row.py",
        "of_visits = update(grads, _with_counts(opt_state, visits), params)",
        "of_visits = of_steps",
        "tests/train/test_per_row.py",
    ),
    Mutant(
        "k-hat of the smallest weights",
        "inference/_psis.py",
        "exceedances = np.exp(log_weights[order[-length:]]) - below",
        "exceedances = below - np.exp(log_weights[order[:length]])[::-1]",
        "tests/inference/test_psis.py",
    ),
    Mutant(
        "the gain of a stage with its sign turned",
        "inference/_infer.py",
        "gain = draws.number(stage), first - value",
        "gain = draws.number(stage), value - first",
        "tests/inference/test_infer.py",
    ),
    Mutant(
        "a control variate without its own average",
        "inference/_bound.py",
        "return self.rest(member.draws(noise)).mean() + self.exact(member, noise)",
        "return self.rest(member.draws(noise)).mean() + self.exact(member, noise) - self.parabola.mean(member)",
        "tests/inference/test_infer.py",
    ),
    Mutant(
        "the KL of weights divided by the batch's size",
        "objectives/_elbo.py",
        "share = 1 / terms.batch.num_data if latent.is_global else 1.0",
        "share = 1 / terms.batch.mask.sum() if latent.is_global else 1.0",
        "tests/models/test_bayesian_network.py",
    ),
    Mutant(
        "the KL of weights divided by the number of arrays",
        "posteriors/_weights.py",
        "return jnp.stack([_kl(loc, log_scale, prior, drawn=drawn) for loc, log_scale, prior in leaves])",
        "return jnp.stack([_kl(loc, log_scale, prior, drawn=drawn) for loc, log_scale, prior in leaves]) / len(priors)",
        "tests/models/test_bayesian_network.py",
    ),
    Mutant(
        "the KL of drawn weights with the standard deviation for the variance",
        "posteriors/_weights.py",
        "return _normal_kl_of_variance(loc, log_scale, jnp.square(scale), prior_loc, prior_scale)",
        "return _normal_kl_of_variance(loc, log_scale, scale, prior_loc, prior_scale)",
        "tests/models/test_bayesian_network.py",
    ),
    Mutant(
        "a sum in parts without what is left over",
        "_total.py",
        "return _sum(lambda x: x, [summed]) + jnp.sum(part(_PARTS * length, size))",
        "return _sum(lambda x: x, [summed])",
        "tests/test_total.py",
    ),
    Mutant(
        "one noise for all rows in local reparameterisation",
        "models/_gradient_estimators.py",
        "each = jax.vmap(one, in_axes=(None, 0, 0))",
        "each = lambda seconds, x, noise: jax.vmap(one, in_axes=(None, 0, None))(seconds, x, noise[0])",
        "tests/models/test_random_arrays.py",
    ),
    Mutant(
        "the noise of a layer scaled by the variance",
        "models/_random_arrays.py",
        "return self.mean + jnp.sqrt(jnp.maximum(self.variance, _LEAST)) * noise(self.shape)",
        "return self.mean + self.variance * noise(self.shape)",
        "tests/models/test_random_arrays.py",
    ),
    Mutant(
        "independent noise at each place of a convolution",
        "models/_random_arrays.py",
        "if math.prod(x.shape) != math.prod(x.shape[axis] for axis in axes.x):",
        "if False:",
        "tests/models/test_random_arrays.py",
    ),
    Mutant(
        "epistemic and aleatoric swapped",
        "models/_prediction.py",
        "return average.mean, average.inner + between, average.inner + between, average.inner, between",
        "return average.mean, average.inner + between, average.inner + between, between, average.inner",
        "tests/models/test_bayesian_network.py",
    ),
]


def outcome(source: Path, tests: str) -> tuple[bool, str, float]:
    """Whether the tests pass on these sources; the first that fails, and the seconds it took."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", *tests.split()]
    environment = {**os.environ, "PYTHONPATH": f"{source}{os.pathsep}{ROOT / 'tests'}"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    failed = [line.split(" ")[1] for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    if done.returncode not in (0, 1):
        raise RuntimeError(f"pytest did not run: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 0, failed[0] if failed else "", time.perf_counter() - began


def caught(mutant: Mutant) -> tuple[bool, str, float]:
    """Whether the tests fail with this error; which, and the seconds it took."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src"
        shutil.copytree(ROOT / "src", source)
        path = source / "varinf" / mutant.file
        path.write_text(path.read_text().replace(mutant.right, mutant.wrong))
        passed, failed, seconds = outcome(source, mutant.tests)
        return not passed, failed, seconds


def main() -> None:
    """Plant each error, and say which test saw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only errors whose name holds this")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if options.only in mutant.name]
    for mutant in chosen:
        count = (ROOT / "src" / "varinf" / mutant.file).read_text().count(mutant.right)
        if count != 1:
            raise SystemExit(f"{mutant.name}: the text to replace occurs {count} times in {mutant.file}")
    with ThreadPoolExecutor(options.jobs) as pool:
        files = sorted({file for mutant in chosen for file in mutant.tests.split()})
        for file, (passed, failed, _) in zip(files, pool.map(lambda f: outcome(ROOT / "src", f), files), strict=True):
            if not passed:
                raise SystemExit(f"{file} fails without an error planted: {failed}")
        results = list(pool.map(caught, chosen))
    lines = [f"{'caught' if seen else 'MISSED':8}{seconds:6.0f} s  {mutant.name}\n{'':18}{failed or 'no test failed'}"
             for mutant, (seen, failed, seconds) in zip(chosen, results, strict=True)]  # fmt: skip
    number = sum(seen for seen, _, _ in results)
    report("mutants", "\n".join([*lines, "", f"{number} of {len(chosen)} errors were caught"]))
    sys.exit(number < len(chosen))


if __name__ == "__main__":
    main()
