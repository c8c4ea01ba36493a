"""Arrays with a row for each datum: a step changes the rows of its batch, and nothing else, as a dense one would."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import varinf as vi
from varinf import data
from varinf._tree import PerRow
from varinf.likelihoods import AsGiven
from varinf.models import AbstractModel
from varinf.objectives import Draw, Latent, Terms
from varinf.train import make_optimizer
from varinf.train._fit import _seed

KEY = jax.random.key(3)
N, BATCH, EPOCHS, RATE, CLIP = 10, 3, 4, 0.1, 0.5
BATCHES = -(-N // BATCH)
STEPS = EPOCHS * BATCHES


class Products(AbstractModel):
    """Rows as products of a number of their own and one that all share, by least squares. Nothing is drawn."""

    own: PerRow
    shared: jax.Array
    observation: AsGiven = AsGiven()

    def draw(self, batch, request, *, key):
        assert self.own.of_batch
        return Draw(self.own.array[None], None)

    def score(self, batch, draw, request):
        zero = jnp.zeros(draw.latents.shape[:2])
        errors = draw.latents * self.shared - batch.data
        return Terms(-0.5 * jnp.square(errors).sum(-1), (Latent("z", zero, zero, None),), batch)


def start(n=N):
    return Products(PerRow(jnp.linspace(-1.0, 2.0, 2 * n).reshape(n, 2)), jnp.array([0.5, -1.0]))


def by_hand(x):
    """The same fit in NumPy: gradients of all rows, Adam's moments of all rows, and a count of visits for each."""
    own, shared = (np.asarray(array, np.float64) for array in (start().own.array, start().shared))
    moments = {name: np.zeros((2, *array.shape)) for name, array in (("own", own), ("shared", shared))}
    visits = np.zeros((N, 1))
    for step in range(STEPS):
        epoch, place = divmod(step, BATCHES)
        rows = data.order(_seed(KEY), epoch, N)[place * BATCH : (place + 1) * BATCH]
        here = np.isin(np.arange(N), rows)[:, None]
        errors = here * (own * shared - x) / len(rows)
        grads = {"own": errors * shared, "shared": (errors * own).sum(0)}
        norm = np.sqrt(sum(np.square(grad).sum() for grad in grads.values()))
        visits += here
        rate = RATE * 0.5 * (1 + np.cos(np.pi * step / STEPS))
        updates = {}
        for name, count, moved in (("own", np.maximum(visits, 1), here), ("shared", step + 1, True)):
            grad = grads[name] * min(1, CLIP / norm)
            first, second = moments[name]
            first = np.where(moved, 0.9 * first + 0.1 * grad, first)
            second = np.where(moved, 0.999 * second + 0.001 * grad**2, second)
            moments[name] = np.stack([first, second])
            scaled = first / (1 - 0.9**count) / (np.sqrt(second / (1 - 0.999**count)) + 1e-8)
            updates[name] = np.where(moved, -rate * scaled, 0.0)
        own, shared = own + updates["own"], shared + updates["shared"]
    return own, shared


def ours():
    return make_optimizer("adam", RATE, schedule="cosine", total_steps=STEPS, clip_norm=CLIP)


def optaxs():
    return optax.chain(optax.clip_by_global_norm(CLIP), optax.adam(optax.cosine_decay_schedule(RATE, STEPS)))


@pytest.mark.parametrize("optimizer", [ours, optaxs])
def test_a_step_is_a_dense_one_with_a_count_for_each_row(float64, optimizer):
    """Were the moments of a row counted by steps, numbers would be off by 0.07; were the rows that fill up the last
    batch written, by 0.08."""
    x = np.random.default_rng(0).normal(size=(N, 2))
    fit = vi.fit(start(), x, optimizer=optimizer(), batch_size=BATCH, epochs=EPOCHS, key=KEY)
    own, shared = by_hand(x)
    assert not fit.model.own.of_batch
    np.testing.assert_allclose(fit.model.own.array, own, rtol=1e-9)
    np.testing.assert_allclose(fit.model.shared, shared, rtol=1e-9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"x": np.ones((N + 1, 2))}, f"each of {N} rows, and there are {N + 1} to fit.*num_data={N + 1}"),
        ({"validation": np.ones((3, 2))}, r"knows only the rows that it is fitted to.*vi\.infer_local\(vae, x\)"),
        ({"optimizer": optax.adafactor(min_dim_size_to_factor=2)}, "the optimizer keeps an array of shape"),
    ],
)
def test_what_does_not_fit_the_rows(settings, message):
    with pytest.raises(vi.InputError, match=message):
        vi.fit(start(), **({"x": np.ones((N, 2))} | settings), key=KEY)
