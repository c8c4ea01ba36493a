"""A Bayesian neural network on handwritten digits: a posterior on all weights, and what the network does not know.

The lecture's network, with three slips put right; each is marked below.
"""

import itertools

import equinox as eqx
import jax
import numpy as np
from sklearn.datasets import load_digits

import varinf as vi
from varinf import distributions as vd


class Network(eqx.Module):
    """Two layers of 100 ReLU units, of plain arrays: any pytree will do."""

    weights: list[jax.Array]
    biases: list[jax.Array]

    def __init__(self, sizes, *, key):
        keys = jax.random.split(key, len(sizes) - 1)
        pairs = list(itertools.pairwise(sizes))
        self.weights = [jax.random.normal(k, pair) * (2 / pair[0]) ** 0.5 for k, pair in zip(keys, pairs, strict=True)]
        self.biases = [jax.numpy.zeros(out) for _, out in pairs]

    def __call__(self, x):
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = jax.nn.relu(x @ weight + bias)  # the product in this order: rows of x are data (slip 2: weight @ x)
        return x @ self.weights[-1] + self.biases[-1]  # no ReLU on the logits (slip 1), which would forbid a firm no


def main() -> None:
    images, labels = load_digits(return_X_y=True)
    images = images / 16
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:1437], order[1437:]

    bnn = vi.BayesianNetwork(
        Network((64, 100, 100, 10), key=jax.random.key(0)),
        likelihood=vi.likelihoods.Categorical(),
        prior=vd.Normal(0.0, 1.0),
        key=jax.random.key(1),
    )
    # Slip 3: the KL is a sum over all weights, divided by the number of data, not a mean, nor divided by the batch's
    # size. The ELBO sees to it.
    fit = vi.fit(bnn, (images[train], labels[train]), epochs=200, key=jax.random.key(2))
    elbo, kl = fit.history["elbo"][-1], fit.history["kl"][-1]
    print(f"elbo on the training data  {elbo:.3f} nats per row, after a KL of {kl:.3f}")

    pred = fit.model.predict(images[test], key=jax.random.key(3))
    right = pred.mean.argmax(1) == labels[test]
    print(vi.evaluate.calibration(pred.mean, labels[test]))
    print(f"epistemic uncertainty      {pred.epistemic[right].mean():.3f} nats where it is right, "
          f"{pred.epistemic[~right].mean():.3f} where it is wrong")  # fmt: skip
    noise = np.random.default_rng(1).permuted(images[test], axis=1)
    shuffled = fit.model.predict(noise, key=jax.random.key(3)).epistemic.mean()
    print(f"                           {shuffled:.3f} nats on images with their pixels shuffled")


if __name__ == "__main__":
    main()
