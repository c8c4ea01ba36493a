"""An epoch of an MLP VAE: vi.fit against its bare matrix products, a hand-written scan and NumPyro.

784-400-20, ReLU, Fashion-MNIST thresholded at 127, batch 128, Adam. All on the same 60,000 rows.

    python -m benchmarks.mlp_epoch [--rounds 7]
"""

import argparse
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

import varinf as vi
from benchmarks._compare import alternate, ratio, report, table
from varinf.distributions import softplus

BATCH, HIDDEN, LATENT, PIXELS = 128, 400, 20, 784
EPOCHS = 20  # of each timed call: vi.fit's default


def bare_products(rows: np.ndarray):
    """The five large matrix products of a step, in a scan: two forward, three backward."""
    steps = len(rows) // BATCH
    key = jax.random.key(0)
    into = jax.random.normal(key, (PIXELS, HIDDEN)) * 0.03
    out = jax.random.normal(key, (HIDDEN, PIXELS)) * 0.03
    x = jnp.asarray(rows[:BATCH], jnp.float32)
    hidden = jax.random.normal(key, (BATCH, HIDDEN))
    grad = jax.random.normal(key, (BATCH, PIXELS))

    @jax.jit
    def epoch(into, out, x, hidden, grad):
        def step(carry, _):
            into, out = carry
            h = x @ into  # encoder forward
            y = (hidden + 1e-6 * h) @ out  # decoder forward
            g = grad + 1e-6 * y
            d_out = hidden.T @ g  # decoder's weights
            d_hidden = g @ out.T  # decoder's input
            d_into = x.T @ d_hidden  # encoder's weights
            return (into - 1e-9 * d_into, out - 1e-9 * d_out), None

        return jax.lax.scan(step, (into, out), None, length=steps)[0]

    return lambda: jax.block_until_ready(epoch(into, out, x, hidden, grad))


def hand_written(rows: np.ndarray):
    """The same step as vi.fit's, written out, with Adam by Optax, in one scan."""
    data = jnp.asarray(rows)
    optimizer = optax.adam(1e-3)
    keys = jax.random.split(jax.random.key(0), 4)

    def dense(key, n, m):
        bound = (6 / (n + m)) ** 0.5
        return jax.random.uniform(key, (n, m), minval=-bound, maxval=bound), jnp.zeros(m)

    params = [dense(k, n, m) for k, n, m in zip(keys, (784, 400, 20, 400), (400, 40, 400, 784), strict=True)]

    def loss(params, x, key):
        (w1, b1), (w2, b2), (w3, b3), (w4, b4) = params
        loc, raw = jnp.split(jax.nn.relu(x @ w1 + b1) @ w2 + b2, 2, axis=-1)
        scale = softplus(raw) + 1e-6
        z = loc + scale * jax.random.normal(key, loc.shape)
        logits = jax.nn.relu(z @ w3 + b3) @ w4 + b4
        reconstruction = (x * logits - softplus(logits)).sum(-1)
        kl = 0.5 * (scale**2 + loc**2 - 1 - 2 * jnp.log(scale)).sum(-1)
        return (kl - reconstruction).mean()

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def epoch(params, state, order, key):
        def step(carry, inputs):
            params, state = carry
            chosen, i = inputs
            x = (data[chosen] > 127).astype(jnp.float32)
            value, grads = jax.value_and_grad(loss)(params, x, jax.random.fold_in(key, i))
            updates, state = optimizer.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), value

        steps = order.shape[0]
        return jax.lax.scan(step, (params, state), (order, jnp.arange(steps)))

    def run():
        p, s = jax.tree.map(jnp.array, params), optimizer.init(params)
        for e in range(EPOCHS):
            order = np.random.default_rng(e).permutation(len(rows))[: len(rows) // BATCH * BATCH]
            (p, s), values = epoch(p, s, jnp.asarray(order.reshape(-1, BATCH)), jax.random.key(e))
        return jax.block_until_ready(values)

    return run


def with_varinf(rows: np.ndarray):
    """vi.fit, everything included: order, gathering, metrics, the checks on the data."""
    settings = {
        "hidden": (HIDDEN,),
        "latent_dim": LATENT,
        "likelihood": "bernoulli",
        "binarize": "threshold",
        "scale": 255,
    }
    vae = vi.VAE.build(event_shape=(28, 28), **settings, key=jax.random.key(0))
    summary = vi.data.summarize(vi.data.source(rows))
    return lambda: vi.fit(vae, rows, batch_size=BATCH, epochs=EPOCHS, summary=summary, key=jax.random.key(1))


def with_numpyro(rows: np.ndarray):
    """NumPyro's SVI of the same model, its epoch compiled as in its VAE example."""
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import SVI, Trace_ELBO
    from numpyro.infer.svi import SVIState

    data = jnp.asarray(rows)
    steps = len(rows) // BATCH
    keys = jax.random.split(jax.random.key(0), 4)
    init = [
        (jax.random.normal(k, (n, m)) * (2 / (n + m)) ** 0.5, jnp.zeros(m))
        for k, n, m in zip(keys, (784, 400, 20, 400), (400, 40, 400, 784), strict=True)
    ]

    def model(x):
        (w3, b3), (w4, b4) = numpyro.param("decoder", init[2:])
        with numpyro.plate("batch", x.shape[0]):
            z = numpyro.sample("z", dist.Normal(0, 1).expand([LATENT]).to_event(1))
            logits = jax.nn.relu(z @ w3 + b3) @ w4 + b4
            numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)

    def guide(x):
        (w1, b1), (w2, b2) = numpyro.param("encoder", init[:2])
        loc, raw = jnp.split(jax.nn.relu(x @ w1 + b1) @ w2 + b2, 2, axis=-1)
        with numpyro.plate("batch", x.shape[0]):
            numpyro.sample("z", dist.Normal(loc, jax.nn.softplus(raw)).to_event(1))

    svi = SVI(model, guide, numpyro.optim.Adam(1e-3), Trace_ELBO())
    state = svi.init(jax.random.PRNGKey(0), jnp.zeros((BATCH, PIXELS)))

    @jax.jit
    def epoch(state: SVIState, order):
        def step(i, carry):
            total, state = carry
            x = (data[order[i]] > 127).astype(jnp.float32)
            state, value = svi.update(state, x)
            return total + value, state

        return jax.lax.fori_loop(0, steps, step, (0.0, state))

    def run():
        s = state
        for e in range(EPOCHS):
            order = np.random.default_rng(e).permutation(len(rows))[: steps * BATCH]
            total, s = epoch(s, jnp.asarray(order.reshape(-1, BATCH)))
        return jax.block_until_ready(total)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    rows = vi.data.open("fashion-mnist").take(np.arange(60_000)).reshape(60_000, 784)
    bare = bare_products(rows)

    def bare_epochs():
        for _ in range(EPOCHS):
            bare()

    vae_rows = rows.reshape(-1, 28, 28)
    names = {"bare products": bare_epochs, "hand-written scan": hand_written(rows)}
    names |= {"varinf": with_varinf(vae_rows), "numpyro": with_numpyro(rows)}
    seconds = alternate(names, rounds)
    text = f"{EPOCHS} epochs of 469 steps (468 for the others, which drop the short batch)\n"
    text += table(seconds, "bare products")
    text += f"\nvarinf by bare products {ratio(seconds, 'varinf', 'bare products'):.3f} (aim 1.35)"
    text += f"\nvarinf by numpyro       {ratio(seconds, 'varinf', 'numpyro'):.3f} (aim 1.00)"
    text += f"\nvarinf by scan          {ratio(seconds, 'varinf', 'hand-written scan'):.3f} (aim 1.05)"
    report("mlp_epoch", text)


if __name__ == "__main__":
    main()
