"""Test NLL on dynamically binarised MNIST, one layer (Burda, Grosse and Salakhutdinov 2016, Table 1).

784-200-200-50, tanh, ELBO with one draw; NLL with 5000 importance samples, the test set binarised once. As many epochs
as fit in the given minutes: the length of an epoch is measured first, since the learning rate follows a cosine.

    VARINF_DATA=path/to/data python -m benchmarks.mnist_nll [--minutes 30] [--batch-size 100] ...
"""

import argparse
import time

import jax
import numpy as np

import varinf as vi
from benchmarks._compare import report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--epochs", type=int, default=None, help="a fixed number, in place of the time")
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--schedule", default="cosine")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--test-rows", type=int, default=10_000)
    given = parser.parse_args()
    train, test = vi.data.open("mnist"), vi.data.open("mnist", split="test")
    build_key, fit_key, test_key = jax.random.split(jax.random.key(given.seed), 3)
    summary = vi.data.summarize(train)
    vae = vi.VAE.build(
        event_shape=(28, 28),
        latent_dim=50,
        hidden=(200, 200),
        activation="tanh",
        likelihood="bernoulli",
        binarize="dynamic",
        scale=255,
        precision=given.precision,
        summary=summary,
        key=build_key,
    )

    def fit(epochs: int, callback=None):
        steps = epochs * -(-len(train) // given.batch_size)
        optimizer = vi.train.make_optimizer(
            "adam", given.learning_rate, schedule=given.schedule, total_steps=steps, warmup_steps=600
        )
        rest = {"batch_size": given.batch_size, "epochs": epochs, "summary": summary, "key": fit_key}
        return vi.fit(vae, train, optimizer=optimizer, callback=callback, **rest)

    began = time.perf_counter()
    epochs = given.epochs
    if epochs is None:
        fit(1)  # compiles
        measured = time.perf_counter()
        fit(5)
        per_epoch = (time.perf_counter() - measured) / 5
        epochs = int((given.minutes * 60 - (time.perf_counter() - began)) / per_epoch)

    def tell(boundary):
        if boundary.epoch_done and (boundary.epoch + 1) % 10 == 0:
            seconds = time.perf_counter() - began
            print(
                f"epoch {boundary.epoch + 1}/{epochs} elbo {boundary.metrics['elbo']:.3f} {seconds:.0f} s", flush=True
            )

    fitted = fit(epochs, tell)
    seconds = time.perf_counter() - began
    rows = vi.data.Subset(test, np.arange(given.test_rows))
    measured = time.perf_counter()
    bound = vi.evaluate.elbo(fitted.model, rows, key=test_key)
    likelihood = vi.evaluate.log_likelihood(fitted.model, rows, 5000, key=test_key)
    nll, spread = -likelihood.value.mean(), likelihood.value.std() / len(rows) ** 0.5
    report(
        "mnist_nll",
        f"{epochs} epochs of {given.batch_size}, learning rate {given.learning_rate:g} {given.schedule}, "
        f"{given.precision}: {seconds / 60:.1f} minutes\n"
        f"elbo on the training rows, last epoch   {fitted.history['elbo'][-1]:.3f}\n"
        f"elbo on {len(rows)} test rows             {bound.elbo.mean():.3f} (KL {bound.kl.mean():.3f})\n"
        f"test NLL, 5000 samples                  {nll:.3f} ± {spread:.3f} over rows (aim 87.5), "
        f"{(time.perf_counter() - measured) / 60:.1f} minutes",
    )


if __name__ == "__main__":
    main()
