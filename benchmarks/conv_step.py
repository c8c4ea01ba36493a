"""One train step of a convolutional VAE against a tight PyTorch loop of the same model.

    python -m benchmarks.conv_step [--rounds 15] [--steps 20]

Images of 28 × 28 × 1, 4 × 4 stride-2 convolutions of 32 and 64 channels, 20 latents, the mirror image as decoder,
Bernoulli pixels, batch 128, Adam at 1e-3; everything on two CPU threads. The two take turns, and the figures are
medians over rounds; PyTorch's is the best of its variants. Needs the extra `benchmarks`, and an idle machine: each
of PyTorch's operations waits for its slowest thread, so that other work on the cores slows it several times over.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from jax import lax
from torch import nn
from torch.nn import functional

from benchmarks._compare import report
from varinf.distributions import softplus
from varinf.networks import ConvDecoder, ConvEncoder

BATCH, LATENTS, CHANNELS = 128, 20, (32, 64)
Step = Callable[[int], float]  # takes the number of steps to run, gives the last loss


def varinf_step(images, dtype: str) -> Step:
    """Steps scanned in one compiled call, with donated state."""
    keys = jax.random.split(jax.random.key(0), 3)
    networks = (
        ConvEncoder((28, 28), 2 * LATENTS, CHANNELS, dtype=dtype, key=keys[0]),
        ConvDecoder(LATENTS, (28, 28), CHANNELS, dtype=dtype, key=keys[1]),
    )
    optimizer = optax.adam(1e-3)

    def loss(networks, x, key):
        encoder, decoder = networks
        mean, scale = jnp.split(encoder(x), 2, axis=-1)
        scale = softplus(scale)
        logits = decoder(mean + scale * jax.random.normal(key, mean.shape))
        nll = jnp.sum(softplus(logits) - x * logits)
        kl = 0.5 * jnp.sum(mean**2 + scale**2 - 1 - 2 * jnp.log(scale))
        return (nll + kl) / BATCH

    @partial(jax.jit, donate_argnums=0, static_argnums=2)
    def run(state, images, steps):
        def body(state, rows):
            networks, moments, key = state
            key, noise = jax.random.split(key)
            value, gradient = jax.value_and_grad(loss)(networks, images[rows], noise)
            updates, moments = optimizer.update(gradient, moments)
            return (optax.apply_updates(networks, updates), moments, key), value

        key, order = jax.random.split(state[2])
        rows = jax.random.permutation(order, images.shape[0])[: steps * BATCH].reshape(steps, BATCH)
        return lax.scan(body, (*state[:2], key), rows)

    images = jnp.asarray(images)
    state = (networks, optimizer.init(eqx.filter(networks, eqx.is_array)), keys[2])

    def step(steps: int) -> float:
        nonlocal state
        state, values = run(state, images, steps)
        return float(values[-1])

    return step


def torch_step(images, channels_last: bool, fused: bool) -> Step:
    """The same model and step, as tight as PyTorch's eager mode lets it be."""
    torch.manual_seed(0)
    encoder = nn.Sequential(
        nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(3136, 2 * LATENTS),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Linear(LATENTS, 3136), nn.ReLU(), nn.Unflatten(1, (64, 7, 7)),
        nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, 1, 4, 2, 1),
    )  # fmt: skip
    layout = torch.channels_last if channels_last else torch.contiguous_format
    encoder, decoder = encoder.to(memory_format=layout), decoder.to(memory_format=layout)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=fused, foreach=not fused)
    images = torch.from_numpy(images).unsqueeze(1)

    def step(steps: int) -> float:
        order = torch.randperm(len(images))
        value = torch.zeros(())
        for i in range(steps):
            x = images[order[i * BATCH : (i + 1) * BATCH]]
            mean, scale = encoder(x).chunk(2, 1)
            scale = functional.softplus(scale)
            logits = decoder(mean + scale * torch.randn_like(mean))
            nll = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
            kl = 0.5 * (mean**2 + scale**2 - 1 - 2 * scale.log()).sum()
            value = (nll + kl) / BATCH
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()
        return value.item()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()

    torch.set_num_threads(2)
    torch.set_flush_denormal(True)
    uniform = jax.random.uniform(jax.random.key(0), (args.steps * BATCH, 28, 28))
    images = np.array(uniform < 0.2, dtype=np.float32)
    contestants = {f"varinf {dtype}": varinf_step(images, dtype) for dtype in ("float32", "bfloat16")}
    for channels_last in (False, True):
        for fused in (False, True):
            name = f"torch {'channels last' if channels_last else 'channels first'}, "
            name += "fused Adam" if fused else "foreach Adam"
            contestants[name] = torch_step(images, channels_last, fused)

    times: dict[str, list[float]] = {name: [] for name in contestants}
    losses = {name: step(args.steps) for name, step in contestants.items()}  # compile, and warm up
    for _ in range(args.rounds):
        for name, step in contestants.items():
            time.sleep(0.05)  # until the other's threads, which spin for a while after their work, sleep
            start = time.perf_counter()
            losses[name] = step(args.steps)
            times[name].append((time.perf_counter() - start) / args.steps * 1e3)

    medians = {name: statistics.median(values) for name, values in times.items()}
    best = min((name for name in medians if name.startswith("torch")), key=medians.__getitem__)
    lines = [f"{'':40}  median    best  ms/step   ratio to the best PyTorch    loss (nats)"]
    for name, values in times.items():
        ratio = medians[name] / medians[best]
        lines.append(f"{name:40}  {medians[name]:6.1f}  {min(values):6.1f}  {ratio:18.2f}  {losses[name]:24.1f}")
    report("conv_step", "\n".join(lines))


if __name__ == "__main__":
    main()
