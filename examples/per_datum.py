"""The classic algorithm, with a mean and a standard deviation of its own for each digit, next to an encoder.

Given a q of its own for each digit, from the encoder's answer on, the other comes nearer to it.
"""

import time

import equinox as eqx
import jax
import numpy as np
from sklearn.datasets import load_digits

import varinf as vi
from varinf.train import make_optimizer

BATCH_SIZE = 500


def num_parameters(part):
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(part, eqx.is_array)))


def fit(posterior, images, epochs):
    """θ and what q is made of, optimised together."""
    build_key, fit_key = jax.random.split(jax.random.key(0))
    vae = vi.VAE.build(
        event_shape=(8, 8), latent_dim=2, hidden=(100,), posterior=posterior, num_data=len(images), key=build_key
    )
    steps = epochs * len(images) // BATCH_SIZE
    optimizer = make_optimizer(learning_rate=2e-2, schedule="cosine", total_steps=steps)
    began = time.perf_counter()
    fit = vi.fit(vae, images, optimizer=optimizer, batch_size=BATCH_SIZE, epochs=epochs, key=fit_key)
    seconds = time.perf_counter() - began
    bound = np.mean(fit.history["elbo"][-50:])  # one draw a digit: averaged where the steps have become small
    print(f"{posterior:<10} elbo {bound:.2f} nats a digit after {steps} steps in {seconds:.1f} s")
    for name, part in (("posterior", vae.encoder), ("decoder", vae.decoder)):
        print(f"{'':<10} {num_parameters(part):,} parameters in the {name}")
    return fit.model


def main(epochs=1000):
    images = (load_digits().images[:1000] > 7.5).astype(np.float32)
    vae = fit("mean_field", images, epochs)  # 6,904 parameters of an encoder, however many digits there are
    began = time.perf_counter()
    refined = vi.infer_local(vae, images, start="encoder", elbo_tol=0.05, key=jax.random.key(1))
    print(f"{'refined':<10} elbo {refined.elbo.mean():.2f} in {time.perf_counter() - began:.1f} s more")
    vae = fit("per_datum", images, epochs)  # 4 for each digit, each changed once an epoch

    q = vae.encoder.at([0])  # the digits that it was fitted to go by number
    print(f"the code of the first digit: {q.mean[0]} ± {np.sqrt(q.variance[0])}")
    for row in np.asarray(vae.decode(q.mean).mean)[0]:
        print("".join(" .:+#"[int(4.99 * pixel)] for pixel in row))


if __name__ == "__main__":
    main()
