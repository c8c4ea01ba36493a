"""The classic algorithm, with a mean and a standard deviation of its own for each digit, next to an encoder.

Where the decoder is linear the best bound is known, that of probabilistic PCA, and both end at it. With a hidden layer
they end within a nat of each other: an encoder cannot say all that free numbers can, which the refined bound makes up
for, and each finds one of many maxima.
"""

import time

import equinox as eqx
import jax
import numpy as np
from sklearn.datasets import load_digits

import varinf as vi
from varinf.train import make_optimizer

BATCH_SIZE, EPOCHS, LATENT_DIM = 500, 600, 2


def num_parameters(part):
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(part, eqx.is_array)))


def best_linear(images):
    """The greatest bound of a linear decoder with one variance, in nats a digit (Tipping and Bishop 1999)."""
    pixels = images.reshape(len(images), -1).astype(float)
    values = np.linalg.eigvalsh(np.cov(pixels.T, bias=True))[::-1]
    largest, noise = values[:LATENT_DIM], values[LATENT_DIM:].mean()
    rest = len(values) - LATENT_DIM
    return -0.5 * (np.log(largest).sum() + rest * np.log(noise) + len(values) * (1 + np.log(2 * np.pi)))


def fit(posterior, images, hidden, variance, learning_rate):
    """θ and what q is made of, optimised together."""
    build_key, fit_key = jax.random.split(jax.random.key(0))
    vae = vi.VAE.build(
        event_shape=(8, 8),
        latent_dim=LATENT_DIM,
        hidden=hidden,
        likelihood="gaussian",
        variance=variance,
        posterior=posterior,
        summary=vi.data.summarize(vi.data.source(images)),
        key=build_key,
    )
    steps = EPOCHS * len(images) // BATCH_SIZE
    optimizer = make_optimizer(learning_rate=learning_rate, schedule="cosine", total_steps=steps)
    began = time.perf_counter()
    fit = vi.fit(vae, images, optimizer=optimizer, batch_size=BATCH_SIZE, epochs=EPOCHS, key=fit_key)
    seconds = time.perf_counter() - began
    bound = np.mean(fit.history["elbo"][-50:])  # one draw a digit: averaged where the steps have become small
    print(
        f"  {posterior:<10} elbo {bound:.2f} nats a digit in {seconds:.1f} s; {num_parameters(vae.encoder):,} numbers "
        f"for q, {num_parameters(vae.decoder):,} in the decoder"
    )
    return fit.model


def compare(images, hidden, variance):
    """An encoder; its answers made better digit by digit; and free parameters from the start."""
    vae = fit("mean_field", images, hidden, variance, learning_rate=2e-2)
    began = time.perf_counter()
    refined = vi.infer_local(vae, images, start="encoder", elbo_tol=0.05, key=jax.random.key(1))
    print(f"  {'refined':<10} elbo {refined.elbo.mean():.2f} in {time.perf_counter() - began:.1f} s more")
    # each of its numbers takes one step in an epoch, where an encoder's take one for each batch
    return fit("per_datum", images, hidden, variance, learning_rate=5e-2)


def main():
    images = load_digits().images[:1000].astype(np.float32)
    print(f"linear decoder; the best there is: {best_linear(images):.2f} nats a digit")
    compare(images, hidden=(), variance="shared")
    print("decoder with 100 hidden units, of a known variance")
    vae = compare(images, hidden=(100,), variance=8.0)

    q = vae.encoder.at([0])  # the digits that it was fitted to go by number
    print(f"the code of the first digit: {q.mean[0]} ± {np.sqrt(q.variance[0])}")
    for row in np.asarray(vae.decode(q.mean).mean)[0]:
        print("".join(" .:+#"[int(np.clip(pixel, 0, 16) * 4.99 / 16)] for pixel in row))


if __name__ == "__main__":
    main()
