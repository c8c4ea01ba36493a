"""Per-datum inference of Fashion-MNIST's 10,000 test images: data per second, gain over the encoder, memory.

    python -m benchmarks.infer_local [--epochs 20] [--rows 10000] [--start encoder]

A VAE with a decoder 784-200-200-50 is fitted first; then `vi.infer_local` is called once, to convergence, on all rows.
The gain is in nats per datum, of the elbo on draws that nothing was fitted to.
"""

import argparse
import resource
import time

import jax
import numpy as np

import varinf as vi
from benchmarks._compare import report


def main() -> None:
    """Fit the VAE, then infer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--start", default="encoder")
    options = parser.parse_args()
    images = vi.data.open("fashion-mnist")
    vae = vi.VAE.build(
        event_shape=(28, 28), latent_dim=50, hidden=(200, 200), likelihood="bernoulli", binarize="dynamic", scale=255,
        summary=vi.data.summarize(images), key=jax.random.key(0),
    )  # fmt: skip
    vae = vi.fit(vae, images, epochs=options.epochs, key=jax.random.key(1)).model
    test = vi.data.open("fashion-mnist", split="test").take(np.arange(options.rows))
    key = jax.random.key(2)
    encoder = vi.evaluate.elbo(vae, test, num_samples=64, key=key).elbo
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    found = vi.infer_local(vae, test, start=options.start, key=key)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    gain = found.elbo - encoder
    report(
        f"infer_local_{options.start}",
        f"{found}\n"
        f"{seconds:.0f} s, {options.rows / seconds:.1f} data per second, compilation included\n"
        f"encoder {encoder.mean():.3f}, found {found.elbo.mean():.3f}: {gain.mean():.3f} ± "
        f"{gain.std() / len(gain) ** 0.5:.3f} nats per datum more\n"
        f"steps: median {np.median(found.steps):.0f}, 99 % within {np.quantile(found.steps, 0.99):.0f}\n"
        f"peak memory {before / 1024:.0f} MB before, {peak / 1024:.0f} MB after",
    )


if __name__ == "__main__":
    main()
