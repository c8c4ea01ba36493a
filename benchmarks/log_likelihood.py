"""ln p(x) with 5000 samples against its bare matrix products.

784-200-200-50 decoder, tanh, Fashion-MNIST thresholded; the products are those of the decoder alone, of the shapes in
which they are done. Memory is the most that the process held.

    python -m benchmarks.log_likelihood [--rounds 5]
"""

import argparse
import resource

import jax
import numpy as np

import varinf as vi
from benchmarks._compare import alternate, ratio, report, table

ROWS, SAMPLES = 100, 5000


def bare_products(batch: int):
    """The decoder's three matrix products for all rows and samples, `batch` at a time."""
    key = jax.random.key(0)
    weights = [jax.random.normal(key, shape) * 0.05 for shape in ((50, 200), (200, 200), (200, 784))]
    z = jax.random.normal(key, (batch, 50))

    @jax.jit
    def run(z, weights):
        def body(_, z):
            y = z
            for w in weights:
                y = y @ w
            return z + 1e-9 * y[:, :50]

        return jax.lax.fori_loop(0, ROWS * SAMPLES // batch, body, z)

    return lambda: jax.block_until_ready(run(z, weights))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    x = vi.data.open("fashion-mnist", split="test").take(np.arange(ROWS))
    settings = {"hidden": (200, 200), "latent_dim": 50, "activation": "tanh", "binarize": "threshold", "scale": 255}
    vae = vi.VAE.build(event_shape=(28, 28), **settings, key=jax.random.key(0))

    def estimate():
        return vi.evaluate.log_likelihood(vae, x, SAMPLES, key=jax.random.key(1))

    candidates = {f"bare products, {batch} at a time": bare_products(batch) for batch in (1000, 5000)}
    seconds = alternate(candidates | {"log_likelihood": estimate}, rounds)
    best = min(candidates, key=lambda name: np.median(seconds[name]))
    text = f"{ROWS} rows, {SAMPLES} samples\n{table(seconds, best)}\n"
    text += f"log_likelihood by bare products {ratio(seconds, 'log_likelihood', best):.3f} (aim 1.5)\n"
    text += f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB"
    report("log_likelihood", text)


if __name__ == "__main__":
    main()
