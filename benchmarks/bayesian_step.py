"""A train step of a Bayesian network against the deterministic one's, bayesian-torch's and torchbnn's.

    pip install bayesian-torch torchbnn; python -m benchmarks.bayesian_step [--rounds 15] [--steps 50]

784-400-400-10, ReLU, batch 128, everything on two CPU threads, float32. The deterministic network's step (the cross
entropy, Adam) is in one scan by `jax.jit`. Ours are in one compiled as `vi.fit` compiles its own: local
reparameterisation with Adam, and natural-gradient steps with one draw of the weights. The peers' are tight loops over
their own layers and KL, with PyTorch's Adam (fused). All take turns, and the figures are medians over rounds. Needs an
idle machine.
"""

import argparse
import itertools
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from jax import lax
from torch import nn
from torch.nn import functional

import varinf as vi
from benchmarks._compare import alternate, ratio, report, table
from varinf._compiled import compiled
from varinf._tree import trainable
from varinf.networks import MLP
from varinf.objectives import Batch, value_and_grad
from varinf.train import ivon

BATCH, SIZES, ROWS = 128, (784, 400, 400, 10), 12_800
PRIOR_SCALE, NUM_DATA = 0.1, 60_000


def network() -> MLP:
    """The network that all have."""
    return MLP(SIZES[:1], SIZES[-1:], SIZES[1:-1], key=jax.random.key(0))


def scanned(
    step: Callable, state: Any, images: np.ndarray, labels: np.ndarray, steps: int, compile: Callable
) -> Callable[[], Any]:
    """Steps in one compiled call, with donated state."""
    x, y = jnp.asarray(images), jnp.asarray(labels)

    @compile
    def run(key: jax.Array, state: Any) -> Any:
        rows = jax.random.permutation(key, len(x))[: steps * BATCH].reshape(steps, BATCH)
        keys = jax.random.split(key, steps)
        return lax.scan(lambda state, args: step(state, x[args[0]], y[args[0]], args[1]), state, (rows, keys))

    def go() -> None:
        nonlocal state
        state, _ = jax.block_until_ready(run(jax.random.key(1), state))

    return go


def deterministic() -> tuple[Callable, Any]:
    """Cross entropy and Adam."""
    optimizer, model = optax.adam(1e-3), network()
    params, fixed = eqx.partition(model, eqx.is_inexact_array)

    def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        logits = eqx.combine(params, fixed)(x)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y.astype(int)).mean()

    def step(state: Any, x: jax.Array, y: jax.Array, key: jax.Array) -> Any:
        params, moments = state
        value, grads = jax.value_and_grad(loss)(params, x, y)
        updates, moments = optimizer.update(grads, moments)
        return (optax.apply_updates(params, updates), moments), value

    return step, (params, optimizer.init(params))


def bayesian(estimator: str, optimizer: optax.GradientTransformation) -> tuple[Callable, Any]:
    """A Bayesian network's ELBO."""
    prior = vi.distributions.Normal(0.0, PRIOR_SCALE)
    bnn = vi.BayesianNetwork(network(), vi.likelihoods.Categorical(), prior, estimator=estimator, key=jax.random.key(0))
    params, fixed = eqx.partition(bnn, trainable(bnn))
    objective, count, zero = vi.ELBO(), jnp.asarray(NUM_DATA), jnp.zeros((), int)

    def step(state: Any, x: jax.Array, y: jax.Array, key: jax.Array) -> Any:
        params, moments = state
        batch = Batch((x, y), jnp.arange(BATCH), jnp.ones(BATCH, bool), count, zero)
        value, _, grads, _ = value_and_grad(objective, params, fixed, batch, key=key)
        updates, moments = optimizer.update(grads, moments, params)
        return (optax.apply_updates(params, updates), moments), value

    return step, jax.tree.map(jnp.array, (params, optimizer.init(params)))


def torch_loop(model: nn.Module, kl: Callable[[], Any], images: np.ndarray, labels: np.ndarray, steps: int) -> Callable:
    """Steps of a peer."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    x, y = torch.from_numpy(images), torch.from_numpy(labels).long()

    def go() -> None:
        order = torch.randperm(len(x))
        for i in range(steps):
            rows = order[i * BATCH : (i + 1) * BATCH]
            logits = model(x[rows])
            loss = functional.cross_entropy(logits, y[rows]) + kl() / NUM_DATA
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return go


def bayesian_torch_model(layer: str) -> tuple[nn.Module, Callable]:
    """bayesian-torch's layers: one draw of the weights ("reparameterization"), or flipout."""
    from bayesian_torch import layers

    cls = {"reparameterization": layers.LinearReparameterization, "flipout": layers.LinearFlipout}[layer]

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([cls(a, b) for a, b in itertools.pairwise(SIZES)])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for i, dense in enumerate(self.layers):
                x, kl = dense(x)
                self.kl = kl if i == 0 else self.kl + kl
                x = functional.relu(x) if i < len(self.layers) - 1 else x
            return x

    model = Network()
    return model, lambda: model.kl


def torchbnn_model() -> tuple[nn.Module, Callable]:
    """torchbnn's layers."""
    import torchbnn

    parts: list[nn.Module] = []
    for a, b in itertools.pairwise(SIZES):
        parts += [torchbnn.BayesLinear(0, 0.1, a, b), nn.ReLU()]
    model = nn.Sequential(*parts[:-1])
    kl = torchbnn.BKLLoss(reduction="sum")
    return model, lambda: kl(model)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=50)
    args = parser.parse_args()
    torch.set_num_threads(2)
    torch.set_flush_denormal(True)
    rng = np.random.default_rng(0)
    images = rng.random((ROWS, SIZES[0]), np.float32) * (rng.random((ROWS, SIZES[0])) < 0.2).astype(np.float32)
    labels = rng.integers(0, 10, ROWS).astype(np.float32)
    ours = {
        "deterministic": deterministic(),
        "local reparameterisation": bayesian("local", optax.adam(1e-3)),
        "flipout": bayesian("flipout", optax.adam(1e-3)),
        "weights": bayesian("weights", optax.adam(1e-3)),
        "ivon": bayesian("weights", ivon(num_data=NUM_DATA)),
    }
    peers = {f"bayesian-torch {way}": bayesian_torch_model(way) for way in ("reparameterization", "flipout")}
    peers["torchbnn"] = torchbnn_model()
    plainly, as_fit_does = partial(jax.jit, donate_argnums=1), partial(compiled, donate_rest=True)
    contestants = {
        name: scanned(*made, images, labels, args.steps, plainly if name == "deterministic" else as_fit_does)
        for name, made in ours.items()
    }
    contestants |= {name: torch_loop(*made, images, labels, args.steps) for name, made in peers.items()}

    def rested(run: Callable[[], object]) -> Callable[[], float]:
        def go() -> float:
            time.sleep(0.05)  # until the other's threads, which spin for a while after their work, sleep
            run()
            return 0.0

        return go

    seconds = alternate({name: rested(run) for name, run in contestants.items()}, args.rounds)
    seconds = {name: [value - 0.05 for value in values] for name, values in seconds.items()}
    text = f"{args.steps} steps\n" + table(seconds, "deterministic")
    for ours_name, peer, aim in (
        ("local reparameterisation", "deterministic", 2.3),
        ("ivon", "deterministic", 1.4),
        ("local reparameterisation", "bayesian-torch reparameterization", 0.5),
        ("ivon", "bayesian-torch reparameterization", 0.5),
        ("local reparameterisation", "torchbnn", 0.7),
        ("ivon", "torchbnn", 0.7),
    ):
        text += f"\n{ours_name} by {peer}: {ratio(seconds, ours_name, peer):.3f} (aim {aim})"
    report("bayesian_step", text)


if __name__ == "__main__":
    main()
