"""Distributions: draws, log densities, means and divergences, of any batch shape. On scikit-learn's iris."""

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_iris

from varinf import distributions as vd


def main():
    flowers, kinds = load_iris(return_X_y=True)

    # a normal distribution of four measurements for each of three kinds: batch shape [3], event shape [4]
    groups = [flowers[kinds == kind] for kind in range(3)]
    normals = vd.MultivariateNormalDiag(
        jnp.stack([group.mean(0) for group in groups]), jnp.stack([group.std(0) for group in groups])
    )
    print(f"batch {normals.batch_shape}, event {normals.event_shape}")
    print(f"five draws of each kind: {normals.sample(jax.random.key(0), (5,)).shape}")

    # the log density of each flower under each kind, and the kind that it is most likely of
    log_density = normals.log_prob(flowers[:, None])
    print(f"mean log density under its own kind: {log_density[np.arange(150), kinds].mean():.3f} nats")
    print(f"most likely of its own kind: {(log_density.argmax(1) == kinds).mean():.1%}")

    # how far apart the kinds are
    first = vd.MultivariateNormalDiag(normals.loc[:, None], normals.scale_diag[:, None])
    print(f"KL of each kind from each, in nats:\n{vd.kl_divergence(first, normals).round(1)}")

    # the same normal, said in another way: four numbers, independent, taken as one event
    same = vd.Independent(vd.Normal(normals.loc, normals.scale_diag), 1)
    print(f"KL between two ways to say one normal: {vd.kl_divergence(same, normals)}")


if __name__ == "__main__":
    main()
