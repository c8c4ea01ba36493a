"""A fit that was interrupted, anywhere and by anything, ends in the bits of one that was not."""

import os
import warnings
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import optax
import pytest

import varinf as vi
from varinf import _files
from varinf._tree import named_arrays
from varinf.train import Checkpoints, make_optimizer

X = np.random.default_rng(0).integers(0, 2, (37, 6)).astype(np.float32)
HELD_OUT = X[::3]
KEY = jax.random.key(3)
MODEL = vi.VAE.build(event_shape=(6,), hidden=(4,), key=jax.random.key(0))
PER_DATUM = vi.VAE.build(event_shape=(6,), hidden=(4,), posterior="per_datum", num_data=len(X), key=jax.random.key(0))
WIDE_PRIOR = vi.distributions.MultivariateNormalDiag(np.zeros(2, np.float32), np.full(2, 1.01, np.float32))
STEPS = 4 * 5  # epochs × batches


def fit(folder=None, **changes):
    settings = {
        "optimizer": make_optimizer(learning_rate=1e-2),
        "batch_size": 8,
        "epochs": 4,
        "validation": HELD_OUT,
        "checkpoints": folder,
        "checkpoint_seconds": 0.0,
        "key": KEY,
    }
    return vi.fit(changes.pop("model", MODEL), changes.pop("x", X), **(settings | changes))


class InterruptionError(Exception):
    pass


def stop_at(number):
    """A callback that raises at its n-th call."""
    calls = iter(range(number + 1))

    def callback(_boundary):
        if next(calls) == number:
            raise InterruptionError

    return callback


def assert_same(one, two):
    for name, array in named_arrays(one.model).items():
        assert array.tobytes() == named_arrays(two.model)[name].tobytes(), name
    assert one.history == two.history
    assert (one.steps, one.stop_reason) == (two.steps, two.stop_reason)


@pytest.fixture(scope="module")
def whole():
    return fit()


@pytest.fixture(autouse=True)
def one_or_two_batches_a_call(monkeypatch):
    """Calls of uneven length, so that boundaries fall within epochs."""
    from varinf.train import _feed

    def learn(self, batches, _seconds):
        self.batches = 3 - batches if batches < 3 else 1

    monkeypatch.setattr(_feed.Limit, "learn", learn)


@pytest.mark.parametrize("number", [0, 1, 3, 4, 7, 8, 11])
def test_interrupted_at_a_boundary(tmp_path, whole, number):
    with pytest.raises(InterruptionError):
        fit(tmp_path, callback=stop_at(number))
    kept = Checkpoints(tmp_path).newest()
    assert (kept is None) == (number == 0)
    boundaries = []
    assert_same(fit(tmp_path, callback=boundaries.append), whole)
    assert boundaries[0].steps > (0 if kept is None else kept[1]["step"])
    assert boundaries[-1].steps == boundaries[-1].total_steps == STEPS


@pytest.mark.parametrize("changes", [{}, {"model": PER_DATUM, "validation": None}], ids=["amortised", "per datum"])
def test_interrupted_again_and_again(tmp_path, changes):
    for _ in range(5):
        with pytest.raises(InterruptionError):
            fit(tmp_path, callback=stop_at(1), **changes)
    assert_same(fit(tmp_path, **changes), fit(**changes))


def test_a_finished_fit_makes_no_more_steps(tmp_path, whole):
    fit(tmp_path)
    assert_same(fit(tmp_path, callback=stop_at(0)), whole)


def test_more_epochs_go_on_from_the_end_of_fewer(tmp_path, whole):
    fit(tmp_path, epochs=2)
    assert_same(fit(tmp_path), whole)


def test_early_stopping_is_resumed_with_its_patience(tmp_path):
    """Rows of nine ones in ten are learnt, and rows of eight in ten watched, whose bound rises and then falls."""
    rng = np.random.default_rng(1)
    x, watched = ((rng.random((40, 6)) < share).astype(np.float32) for share in (0.9, 0.8))
    settings = {"x": x, "validation": watched, "optimizer": make_optimizer(learning_rate=1e-2)}
    settings |= {"patience": 3, "epochs": 30}
    calls = []
    whole = fit(**settings, callback=calls.append)
    bounds = whole.history["validation_elbo"]
    best = int(np.argmax(bounds))
    assert best >= 1
    assert len(bounds) == best + 1 + 3
    assert whole.steps == 5 * len(bounds) < 150
    assert "no better elbo" in whole.stop_reason
    # the model is the best one, not the last
    assert_same_arrays(whole.model, fit(**(settings | {"epochs": best + 1, "patience": None})).model)
    # in the midst, and while it waits: its count begun anew, the fit would go on past the whole one's end
    waiting = [i for i, call in enumerate(calls) if call.epoch_done][-2]
    for number in (2, waiting, waiting + 1, len(calls) - 1):
        folder = tmp_path / str(number)
        with pytest.raises(InterruptionError):
            fit(folder, callback=stop_at(number), **settings)
        assert_same(fit(folder, **settings), whole)


def assert_same_arrays(one, two):
    for name, array in named_arrays(one).items():
        assert array.tobytes() == named_arrays(two)[name].tobytes(), name


@pytest.mark.parametrize("patience", [0, -1])
def test_patience_is_at_least_one(patience):
    with pytest.raises(vi.InputError, match="at least 1"):
        fit(patience=patience)
    with pytest.raises(vi.InputError, match="needs validation"):
        fit(patience=2, validation=None)


# --- damage ------------------------------------------------------------------------------------------------------


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "flipped": _flip,
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": Path.unlink,
}


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_passed_over(tmp_path, whole, damage, suffix):
    with pytest.raises(InterruptionError):
        fit(tmp_path, callback=stop_at(6))
    *_, before, newest = sorted(tmp_path.glob(f"*{suffix}"))
    DAMAGE[damage](newest)
    steps = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert_same(fit(tmp_path, callback=lambda boundary: steps.append(boundary.steps)), whole)
    # without its JSON a checkpoint is not there at all: it is written last
    if (damage, suffix) != ("gone", ".json"):
        assert any("the checkpoint before it is used" in str(w.message) for w in caught)
    first = int(before.stem.removeprefix("step-"))
    assert first < steps[0] <= first + 4


def test_when_all_are_damaged_the_fit_begins_anew_and_keeps_its_own(tmp_path, whole):
    with pytest.raises(InterruptionError):
        fit(tmp_path, callback=stop_at(8))
    for path in tmp_path.glob("*.json"):
        _flip(path)
    with pytest.warns(UserWarning, match="damaged") as caught, pytest.raises(InterruptionError):
        fit(tmp_path, callback=stop_at(2))
    *earlier, last = (str(w.message).rpartition("; ")[2] for w in caught)
    assert earlier == ["the checkpoint before it is used"] * 2
    assert last == "there is none before it: the fit begins anew"
    # counted among the newest three, the damaged ones would have pushed out the new
    assert Checkpoints(tmp_path).newest() is not None
    assert_same(fit(tmp_path), whole)


def test_checkpoints_of_a_newer_format_are_refused_and_kept(tmp_path):
    fit(tmp_path, epochs=1)
    path = max(tmp_path.glob("*.json"))
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(vi.InputError, match="written by a newer varinf"):
        fit(tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def test_three_are_kept_and_nothing_half_made(tmp_path):
    (tmp_path / "step-0000000001.safetensors").write_bytes(b"of a run that was killed")
    (tmp_path / ".step-0000000002.json.tmp").write_bytes(b"of a run that was killed")
    (tmp_path / "step-by-step.json").write_bytes(b"the user's own")
    fit(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    names.remove("step-by-step.json")
    assert len(names) == 6
    assert {name.split(".")[1] for name in names} == {"json", "safetensors"}
    assert names[-1] == f"step-{STEPS:010d}.safetensors"


# --- faults of the system ----------------------------------------------------------------------------------------


class Faults:
    """Raises at the n-th of all writes, fsyncs and renames."""

    def __init__(self, monkeypatch, at):
        self.count, self.at = 0, at
        for name in ("fsync", "replace"):
            monkeypatch.setattr(_files.os, name, self._wrapped(getattr(os, name)))
        monkeypatch.setattr(_files, "open", self._open, raising=False)

    def _tick(self):
        self.count += 1
        if self.count - 1 == self.at:
            raise OSError(28, "No space left on device")

    def _wrapped(self, function):
        def call(*args):
            self._tick()
            return function(*args)

        return call

    def _open(self, *args, **kwargs):
        file = open(*args, **kwargs)  # noqa: SIM115
        write = file.write

        class Watched:
            def __enter__(_):
                return _

            def __exit__(_, *_rest):
                file.close()

            def write(_, content):
                # half of it, as a full disk would
                write(content[: len(content) // 2])
                self._tick()
                return write(content[len(content) // 2 :])

            flush, fileno = file.flush, file.fileno

        return Watched()


SETTINGS = {"epochs": 2, "validation": None}


def test_a_fault_at_every_write_fsync_and_rename_in_turn(tmp_path):
    whole = fit(**SETTINGS)
    with pytest.MonkeyPatch.context() as patch:
        faults = Faults(patch, None)
        fit(tmp_path / "none", **SETTINGS)
        total = faults.count
    # for each checkpoint: two files, each written, synced, renamed, and its folder synced
    assert total % 8 == 0
    assert total >= 5 * 8
    for at in range(total):
        folder = tmp_path / str(at)
        with pytest.MonkeyPatch.context() as patch:
            Faults(patch, at)
            with pytest.raises(OSError, match="No space left"):
                fit(folder, **SETTINGS)
        assert not list(folder.glob(".*")), "a temporary file was left"
        # a rename without what was to come with it is a checkpoint that is not whole
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert_same(fit(folder, **SETTINGS), whole)


# --- another fit ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": 1 - X}, "data"),
        ({"x": X[:-1]}, "data"),
        ({"validation": 1 - HELD_OUT}, "validation"),
        ({"key": jax.random.key(4)}, "key"),
        ({"batch_size": 9}, "batch_size"),
        ({"optimizer": make_optimizer("sgd", learning_rate=1e-2)}, "optimizer"),
        ({"optimizer": make_optimizer(learning_rate=2e-2)}, "optimizer"),
        ({"objective": vi.ELBO(beta=0.5)}, "objective"),
        ({"model": vi.VAE.build(event_shape=(6,), hidden=(5,), key=jax.random.key(0))}, "model"),
        # of the same arrays, and an optimiser with the same numbers
        ({"optimizer": make_optimizer("adabelief", learning_rate=1e-2)}, "optimizer"),
        ({"optimizer": make_optimizer(learning_rate=1e-2, schedule="cosine")}, "optimizer"),
        ({"model": vi.VAE.build(event_shape=(6,), hidden=(4,), activation="tanh", key=jax.random.key(0))}, "model"),
        ({"model": eqx.tree_at(lambda vae: vae.prior, MODEL, WIDE_PRIOR)}, "model"),
    ],
)
def test_checkpoints_of_another_fit_are_refused(tmp_path, changes, message):
    fit(tmp_path, epochs=1)
    with pytest.raises(vi.InputError, match=f"of another fit: its {message}"):
        fit(tmp_path, **changes)


def test_what_differs_in_a_function_is_another_fit_and_what_does_not_is_the_same(tmp_path):
    def settings(rate, beta):
        return {"optimizer": optax.sgd(rate), "objective": vi.ELBO(beta=optax.constant_schedule(beta)), "epochs": 1}

    whole = fit(tmp_path, **settings(1e-4, 0.5))
    assert_same(fit(tmp_path, callback=stop_at(0), **settings(1e-4, 0.5)), whole)
    for name, rate, beta in (("optimizer", 1e-1, 0.5), ("objective", 1e-4, 1.0)):
        with pytest.raises(vi.InputError, match=f"of another fit: its {name}"):
            fit(tmp_path, **settings(rate, beta))
