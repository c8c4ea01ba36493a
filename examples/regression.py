"""Regression: a network with a Gaussian head, whose negative log-likelihood is the squared error. On real patients."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_diabetes

import varinf as vi
from varinf import distributions as vd


def main(steps=500):
    x, y = (jnp.asarray(array, jnp.float32) for array in load_diabetes(return_X_y=True))
    y = (y - y.mean()) / y.std()
    x = x / x.std(0)
    train, held_out = slice(0, 342), slice(342, None)
    network = vi.networks.MLP((10,), (), (16,), key=jax.random.key(0))
    optimizer = optax.adamw(3e-3, weight_decay=1e-2)

    def loss(network):
        p = vd.Normal(network(x[train]), 1.0)  # the two lines: p(y | x), and
        return -p.log_prob(y[train]).mean()  # its negative log-likelihood, ½ (y − f(x))² + ½ ln 2π

    @eqx.filter_jit
    def step(network, state):
        value, grads = eqx.filter_value_and_grad(loss)(network)
        updates, state = optimizer.update(grads, state, eqx.filter(network, eqx.is_array))
        return eqx.apply_updates(network, updates), state, value

    state = optimizer.init(eqx.filter(network, eqx.is_array))
    for i in range(steps):
        network, state, value = step(network, state)
        if i % 100 == 0:
            print(f"step {i}: {value:.4f} nats a patient")
    error = jnp.square(network(x[train]) - y[train]).mean()
    print(f"half the squared error, and half ln 2π: {error / 2 + np.log(2 * np.pi) / 2:.4f} nats")
    print(f"held out: {-vd.Normal(network(x[held_out]), 1.0).log_prob(y[held_out]).mean():.4f} nats a patient")


if __name__ == "__main__":
    main()
