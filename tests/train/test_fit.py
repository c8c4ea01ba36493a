"""The loop: each row once an epoch, padding and streaming without effect, faults, and no second compilation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import varinf as vi
from varinf import data
from varinf._tree import named_arrays
from varinf.likelihoods import AsGiven
from varinf.models import AbstractModel
from varinf.objectives import Draw, Latent, LinearWarmup, Terms
from varinf.train import OPTIMIZERS, SCHEDULES, make_optimizer
from varinf.train._feed import Feed

KEY = jax.random.key(3)


def rows(n, columns=6, seed=0):
    return np.random.default_rng(seed).integers(0, 2, (n, columns)).astype(np.float32)


def vae(**settings):
    return vi.VAE.build(**({"event_shape": (6,), "hidden": (4,), "key": jax.random.key(0)} | settings))


def assert_same_arrays(one, two):
    for name, array in named_arrays(one).items():
        assert array.tobytes() == named_arrays(two)[name].tobytes(), name


# --- rows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most_bytes", [0, 1 << 20])
def test_rows_that_fail_to_come_are_told(most_bytes):
    """One row in the place of many would be broadcast over them."""

    class Short(data.Subset):
        def take(self, _):
            return super().take(np.zeros(1, int))

    with pytest.raises(
        vi.InputError, match=r"expected \d+ rows of float32 .*, its take gave float32 of shape \(1, 6\)"
    ):
        list(
            Feed(Short(data.source(rows(9)), np.arange(9)), AsGiven(), 3, 3, most_bytes).blocks(
                lambda _: np.arange(9), 0, 1
            )
        )


@pytest.mark.parametrize(("n", "batch_size", "width"), [(1, 1, 1), (10, 3, 3), (10, 10, 128), (9, 3, 3), (300, 1, 1)])
@pytest.mark.parametrize("most_bytes", [0, 1 << 20])
@pytest.mark.parametrize("first", [0, 1])
def test_each_row_comes_once_in_each_pass(n, batch_size, width, most_bytes, first):
    x = np.arange(3 * n, dtype=np.float32).reshape(n, 3)
    feed = Feed(data.source(x), AsGiven(), batch_size, width, most_bytes)
    assert feed.num_batches == -(-n // batch_size)
    orders = [data.order(5, visit, n) for visit in range(3)]
    stop = 2 * feed.num_batches + 1  # a step into the third
    seen, sizes = [], []
    for block in feed.blocks(orders.__getitem__, first, stop):
        for i in range(int(block.count)):
            mask = np.asarray(block.mask[i])
            taken = np.asarray(block.data)[np.asarray(block.positions[i])]
            np.testing.assert_array_equal(taken, x[np.asarray(block.rows[i])])  # those that fill up, too
            seen += np.asarray(block.rows[i])[mask].tolist()
            sizes.append(int(mask.sum()))
    batches = [order[start : start + batch_size] for order in orders for start in range(0, n, batch_size)]
    assert sizes == [len(batch) for batch in batches[first:stop]]
    assert seen == np.concatenate(batches[first:stop]).tolist()


@pytest.mark.parametrize("most_bytes", [0, 1 << 20])
def test_an_epoch_is_the_same_in_a_call_with_others_and_by_itself(most_bytes):
    calls = []
    settings = {"epochs": 5, "batch_size": 3, "max_resident_bytes": most_bytes, "key": KEY}
    together, alone = vi.fit(vae(), rows(10), **settings), vi.fit(vae(), rows(10), **settings, callback=calls.append)
    assert {call.epoch for call in calls if call.epoch_done} == set(range(5))
    assert together.history == alone.history
    assert_same_arrays(together.model, alone.model)


class Counter(AbstractModel):
    """Counts how often each row is visited; its gradient is the row's own, through a free number for each."""

    visits: jax.Array
    observation: AsGiven = AsGiven()

    def draw(self, batch, request, *, key):
        return Draw(self.visits[batch.rows][None], None)

    def score(self, batch, draw, request):
        zero = jnp.zeros(draw.latents.shape)
        return Terms(draw.latents, (Latent("z", zero, zero, None),), batch)


@pytest.mark.parametrize(("n", "batch_size"), [(10, 3), (7, 7), (9, 1)])
def test_an_epoch_visits_each_row_once_and_rows_that_fill_up_not_at_all(n, batch_size):
    """The loss is minus the mean of the batch's numbers: a step of sgd adds 1 / (rows in the batch) to each."""
    fit = vi.fit(
        Counter(jnp.zeros(n)), np.zeros((n, 1)), optimizer=optax.sgd(1.0), batch_size=batch_size, epochs=2, key=KEY
    )
    last = n % batch_size or batch_size
    steps = np.asarray(fit.model.visits)
    assert fit.steps == 2 * -(-n // batch_size)
    expected = sorted(2 * [1 / batch_size] * (n - last) + 2 * [1 / last] * last)
    np.testing.assert_allclose(steps.sum(), sum(expected), rtol=1e-6)
    allowed = {round(a + b, 5) for a in (1 / batch_size, 1 / last) for b in (1 / batch_size, 1 / last)}
    assert {round(float(s), 5) for s in steps} <= allowed


@pytest.mark.parametrize("n", [37, 600])
def test_streamed_rows_give_the_same_bits(n):
    settings = {"batch_size": 8, "epochs": 2, "validation": rows(11, seed=1), "key": KEY}
    resident = vi.fit(vae(), rows(n), **settings)
    streamed = vi.fit(vae(), rows(n), max_resident_bytes=0, **settings)
    assert_same_arrays(resident.model, streamed.model)
    assert resident.history == streamed.history


def test_padding_has_no_effect():
    """A batch of 37 rows padded to 128, against the same batch as it is: the draws differ, so without them.

    Where all of an encoder's ReLU are off, z would be at the kink of the decoder's, and what is left of the draws
    decide.
    """
    model = vae(activation="tanh")
    objective = vi.ELBO(beta=0.0)
    x = rows(37)
    quiet = eqx.tree_at(lambda m: m.encoder.network.layers[-1].bias, model, jnp.array([0.0, 0.0, -40.0, -40.0]))
    one = vi.fit(quiet, x, objective=objective, epochs=3, key=KEY)
    two = vi.fit(quiet, x, objective=objective, epochs=3, batch_size=37, key=KEY)
    for name in ("elbo", "kl", "reconstruction", "loss"):
        np.testing.assert_allclose(one.history[name], two.history[name], rtol=2e-5)
    for name, array in named_arrays(one.model).items():
        np.testing.assert_allclose(array, named_arrays(two.model)[name], rtol=1e-3, atol=2e-5, err_msg=name)


def test_the_history_is_of_the_data_and_the_model_given():
    x = rows(37)
    model = vae()
    fit = vi.fit(model, x, optimizer=optax.sgd(0.0), batch_size=8, epochs=2, validation=x, key=KEY)
    assert set(fit.history) == {
        prefix + name for prefix in ("", "validation_") for name in ("loss", "elbo", "kl", "reconstruction")
    }
    assert all(len(values) == 2 for values in fit.history.values())
    # the KL has no noise: it is the mean over all rows, whatever the sizes of the batches
    kl = float(vi.distributions.kl_divergence(model.encode(x), model.prior).mean())
    np.testing.assert_allclose(fit.history["kl"], kl, rtol=1e-5)
    np.testing.assert_allclose(fit.history["validation_kl"], kl, rtol=1e-5)
    # validation draws are the same each time, training draws are not
    assert fit.history["validation_elbo"][0] == fit.history["validation_elbo"][1]
    assert fit.history["elbo"][0] != fit.history["elbo"][1]
    assert fit.monte_carlo == ()
    assert vi.fit(model, x, objective=vi.IWAE(2), epochs=1, key=KEY).monte_carlo == ("z",)


def test_the_users_model_is_left_alone():
    model, x = vae(), rows(20)
    before = {name: array.copy() for name, array in named_arrays(model).items()}
    rate = jnp.asarray(1e-2)
    fit = vi.fit(model, x, optimizer=make_optimizer(learning_rate=rate), epochs=2, key=KEY)
    for name, array in named_arrays(model).items():
        np.testing.assert_array_equal(array, before[name])
    assert float(rate) == pytest.approx(1e-2)  # a donated array would be gone
    # what is not trained comes back as it was; the rest has moved
    np.testing.assert_array_equal(fit.model.prior.loc, model.prior.loc)
    np.testing.assert_array_equal(fit.model.prior.scale_diag, model.prior.scale_diag)
    assert (np.asarray(fit.model.decoder.network.layers[0].weight) != before["decoder.network.layers[0].weight"]).any()


def test_no_epochs_is_no_change():
    model = vae()
    fit = vi.fit(model, rows(5), epochs=0, key=KEY)
    assert_same_arrays(fit.model, model)
    assert (fit.steps, fit.history, fit.stop_reason) == (0, {}, "all 0 epochs done")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size must be from 1 to"),
        ({"batch_size": 21}, "batch_size must be from 1 to"),
        ({"batch_size": 1.5}, "batch_size must be a whole number, got 1.5"),
        ({"epochs": -1}, "must not be negative"),
        ({"epochs": 1.5}, "epochs must be a whole number, got 1.5"),
        ({"key": 0}, r"key must be one of JAX's, such as jax.random.key\(0\), got 0"),
        ({"key": np.int64(0)}, "key must be one of JAX's"),
        ({"objective": "elbo"}, r"objective must be one such as vi.ELBO\(\), got 'elbo'"),
        ({"objective": vi.ELBO}, r"objective must be one such as vi.ELBO\(\), got <class"),
        ({"optimizer": "adam"}, r"optimizer must be one of Optax's, such as optax.adam\(1e-3\), got 'adam'"),
        ({"validation": np.zeros((3, 5), np.float32)}, "validation data have rows of"),
        ({"validation": np.full((3, 6), 0.5, np.float32)}, "expected zeros and ones"),
    ],
)
def test_what_cannot_be_fitted(settings, message):
    with pytest.raises(vi.InputError, match=message):
        vi.fit(vae(), rows(20), **{"key": KEY} | settings)


def test_data_outside_the_support_are_refused():
    with pytest.raises(vi.InputError, match=r"expected zeros and ones .* got values from 0 to 255; .*scale=255"):
        vi.fit(vae(), rows(20) * 255, key=KEY)


# --- a loss that is not finite -------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_with_the_step_and_keeps_what_was_before(tmp_path):
    model = vi.VAE.build(event_shape=(6,), hidden=(4,), likelihood="poisson", key=jax.random.key(0))
    x = rows(40)
    steps = []
    with pytest.raises(vi.NonFiniteError, match=r"at step \d+ \(epoch \d+\).*learning rate") as caught:
        vi.fit(
            model,
            x,
            optimizer=optax.sgd(optax.join_schedules([lambda _: 1e-3, lambda _: 1e30], [12])),
            batch_size=8,
            epochs=5,
            checkpoints=tmp_path,
            checkpoint_seconds=0.0,
            callback=lambda boundary: steps.append(boundary.steps),
            key=KEY,
        )
    # the first 12 steps are small, the 13th (number 12) is huge, and the loss of the next shows it
    assert caught.value.step == 13
    kept = vi.train.Checkpoints(tmp_path).newest()
    assert kept is not None
    assert 0 < kept[1]["step"] <= 12
    assert all(np.isfinite(array).all() for array in kept[0].values())


# --- optimisers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_our_optimiser_is_optaxs(schedule):
    peak, total, warmup = 0.1, 12, 3

    def rate(step):
        done = np.clip((step - warmup) / (total - warmup), 0, 1)
        share = {
            "constant": 1.0,
            "cosine": 0.5 * (1 + np.cos(np.pi * done)),
            "exponential": 0.01**done,
            "linear": 1 - done,
        }[schedule]
        return peak * share * min((step + 1) / (warmup + 1), 1)

    ours = make_optimizer("adam", peak, schedule=schedule, total_steps=total, warmup_steps=warmup, clip_norm=0.5)
    params = {"a": jnp.array([1.0, -2.0]), "b": jnp.array(3.0)}
    state, moments = ours.init(params), optax.scale_by_adam().init(params)
    for step in range(14):
        grads = jax.tree.map(lambda p, step=step: p * (step - 2.0) * 0.2, params)
        updates, state = ours.update(grads, state, params)
        clipped, _ = optax.clip_by_global_norm(0.5).update(grads, optax.EmptyState())
        expected, moments = optax.scale_by_adam().update(clipped, moments)
        for name in params:
            np.testing.assert_allclose(updates[name], -rate(step) * expected[name], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_lowers_the_loss(name):
    rate = {"sgd": 0.3, "lion": 1e-2}.get(name, 3e-2)
    losses = vi.fit(vae(), np.ones((64, 6)), optimizer=make_optimizer(name, rate), epochs=60, key=KEY).history["loss"]
    assert losses[-1] < 0.6 * losses[0]


def test_an_optimiser_that_keeps_the_parameters_twice():
    """Its state starts as the parameters themselves, which cannot be given up twice to one call."""
    optimizer = optax.contrib.schedule_free_sgd(0.1)
    fit = vi.fit(vae(), rows(20), optimizer=optimizer, epochs=2, key=KEY)
    assert np.isfinite(fit.history["loss"]).all()


# --- compilation -----------------------------------------------------------------------------------------------------


def test_an_optimiser_that_takes_the_loss_is_told_it():
    """Polyak's step is the loss over the gradient's square: of a linear loss, it leads to where that is zero."""
    model, polyak = Counter(jnp.full(4, -2.0)), optax.polyak_sgd(max_learning_rate=100.0)
    fit = vi.fit(model, np.zeros((4, 1)), optimizer=polyak, epochs=1, key=KEY)
    np.testing.assert_allclose(fit.model.visits, 0, atol=1e-6)
    with pytest.raises(vi.InputError, match="which needs a loss without noise"):
        vi.fit(model, np.zeros((4, 1)), optimizer=optax.lbfgs(), epochs=1, key=KEY)


def test_a_second_fit_of_the_same_shapes_does_not_compile(compilations):
    settings = {"epochs": 2, "validation": rows(9, seed=1)}

    def fit(n=100, beta=1.0, rate=1e-3, seed=0, epochs=2):
        objective = vi.ELBO(beta=LinearWarmup(beta, 10))
        optimizer = make_optimizer(learning_rate=rate, schedule="cosine", total_steps=7 * epochs, clip_norm=1.0)
        key = jax.random.key(seed)
        return vi.fit(
            vae(), rows(n), objective=objective, optimizer=optimizer, **(settings | {"epochs": epochs}), key=key
        )

    fit()
    assert compilations
    for change in ({}, {"beta": 0.3}, {"rate": 1e-2}, {"seed": 5}, {"n": 97}, {"epochs": 3}):
        compilations.clear()
        fit(**change)
        assert not compilations, change


def test_nor_does_one_with_the_same_optimiser_object(compilations):
    optimizer = optax.adamw(1e-3)
    vi.fit(vae(), rows(50), optimizer=optimizer, epochs=1, key=KEY)
    compilations.clear()
    vi.fit(vae(), rows(50, seed=1), optimizer=optimizer, objective=vi.ELBO(beta=0.1), epochs=2, key=KEY)
    assert len(compilations) == 0


def test_parameters_that_are_not_finite_after_the_last_step_are_noticed():
    # the loss is that before the step, so nothing but the parameters shows what the last one did
    with pytest.raises(vi.NonFiniteError, match="no longer finite after step 1"):
        vi.fit(vae(), rows(20), optimizer=optax.sgd(np.inf), epochs=1, key=KEY)
