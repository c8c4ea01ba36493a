"""Classification: a network with a Categorical head, whose negative log-likelihood is the cross entropy. On digits."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from sklearn.datasets import load_digits

import varinf as vi
from varinf import distributions as vd


def main(steps=300):
    images, labels = load_digits(return_X_y=True)
    x, y = jnp.asarray(images / 16, jnp.float32), jnp.asarray(labels)
    train, held_out = slice(0, 1400), slice(1400, None)
    network = vi.networks.MLP((64,), (10,), (64,), key=jax.random.key(0))
    optimizer = optax.adam(3e-3)

    def loss(network):
        p = vd.Categorical(logits=network(x[train]))  # the two lines: p(y | x), and
        return -p.log_prob(y[train]).mean()  # its negative log-likelihood, −ln softmax(f(x))[y]

    @eqx.filter_jit
    def step(network, state):
        value, grads = eqx.filter_value_and_grad(loss)(network)
        updates, state = optimizer.update(grads, state)
        return eqx.apply_updates(network, updates), state, value

    state = optimizer.init(eqx.filter(network, eqx.is_array))
    for i in range(steps):
        network, state, value = step(network, state)
        if i % 100 == 0:
            print(f"step {i}: {value:.4f} nats a digit")
    p = vd.Categorical(logits=network(x[held_out]))
    print(f"held out: {-p.log_prob(y[held_out]).mean():.4f} nats a digit")
    print(f"held out and right: {(p.probs.argmax(-1) == y[held_out]).mean():.1%}")


if __name__ == "__main__":
    main()
