"""What a run does, where the commands' own tests do not show it."""

import struct
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

import varinf as vi
from varinf import data, job
from varinf.config import make_settings
from varinf.errors import InputError

TABLE = np.random.default_rng(0).normal(size=(50, 2))


def test_held_out_rows_are_split_by_seed_or_given(tmp_path):
    np.save(tmp_path / "x.npy", TABLE)
    np.save(tmp_path / "y.npy", TABLE[:7])
    where = str(tmp_path / "x.npy")
    first, again, other = (job.open_data(make_settings({"source": where, "seed": seed})) for seed in (0, 0, 1))
    assert (len(first.train), len(first.held_out)) == (40, 10)
    both = np.concatenate([first.train.take(np.arange(40)), first.held_out.take(np.arange(10))])
    np.testing.assert_array_equal(np.sort(both, axis=0), np.sort(TABLE, axis=0))
    np.testing.assert_array_equal(first.held_out.take(np.arange(10)), again.held_out.take(np.arange(10)))
    assert not np.array_equal(first.held_out.take(np.arange(10)), other.held_out.take(np.arange(10)))
    given = job.open_data(make_settings({"source": where, "test": str(tmp_path / "y.npy")}))
    assert (len(given.train), len(given.held_out)) == (50, 7)


@pytest.fixture
def with_test_rows(tmp_path):
    """Images in files named as MNIST's: three to train, two to test."""
    for split, pixels in (("train", bytes(12)), ("t10k", bytes(8))):
        header = struct.pack(">IIII", 0x803, len(pixels) // 4, 2, 2)
        (tmp_path / f"{split}-images-idx3-ubyte").write_bytes(header + pixels)
    return str(tmp_path)


def test_the_test_rows_of_data_that_have_some_are_held_out(tmp_path, with_test_rows):
    np.save(tmp_path / "x.npy", np.zeros((5, 2, 2), np.uint8))
    for options in ({}, {"test": with_test_rows}, {"source": str(tmp_path / "x.npy"), "test": with_test_rows}):
        rows = job.open_data(make_settings({"source": with_test_rows} | options))
        # of the same folder the training rows would be three
        assert (len(rows.train), len(rows.held_out)) == (5 if "source" in options else 3, 2)


def test_the_test_rows_of_data_that_have_some_are_evaluated_on(with_test_rows, monkeypatch):
    row = {"shape": (2, 2), "kind": "images", "max_value": 255.0, "columns": None}
    run: Any = SimpleNamespace(settings=make_settings({}), results=lambda: {"row": row})
    monkeypatch.setattr("varinf.job._figures._evaluation", lambda _kind, _model, rows, *_, **__: {"rows": len(rows)})
    assert job.evaluation(run, None, with_test_rows) == {"rows": 2}
    # the other commands take what they are named
    assert len(job.open_like(run, with_test_rows)) == 3


def test_rows_for_evaluation_are_spread_evenly(monkeypatch):
    monkeypatch.setattr("varinf.job._rows._EVALUATION_ROWS", 3)
    chosen = job.evaluation_rows(data.source(np.arange(10.0)[:, None]))
    assert chosen.take(np.arange(3)).ravel().tolist() == [0, 4, 9]


def test_columns_must_be_the_same_in_the_same_order():
    source = data.ArraySource(TABLE, columns=["b", "a"])
    job.check_rows(source, (2,), ("b", "a"), "new.csv")
    job.check_rows(source, (2,), None, "new.csv")
    with pytest.raises(InputError, match=r"new\.csv: .* column 0 should be 'a', got 'b'"):
        job.check_rows(source, (2,), ("a", "b"), "new.csv")


def test_the_draws_of_a_fit_s_own_figures_depend_on_its_seed_alone():
    keys = [job.evaluation_key(make_settings(options)) for options in ({}, {"epochs": 3}, {"seed": 1})]
    first, same, other = (jax.random.key_data(key).tolist() for key in keys)
    assert first == same != other


def test_what_is_made_keeps_the_digits_of_a_column_far_from_zero(rng):
    # beside 1.6e9, numbers in single precision lie 128 apart
    x = np.stack([1.6e9 + rng.normal(size=60), rng.normal(size=60)], axis=1)
    summary = data.summarize(data.source(x))
    model = vi.VAE.build(
        event_shape=(2,), hidden=(4,), latent_dim=2, likelihood="gaussian", summary=summary, key=jax.random.key(0)
    )
    made = [
        job.reconstructions(model, data.source(x)),
        job.between(model, data.source(x), 0, 1, 5),
        job.samples(model, 60, mean=False, key=jax.random.key(1)),
        job.samples(model, 60, mean=True, key=jax.random.key(1)),
    ]
    for rows in made:
        assert np.abs(rows[:, 0] - 1.6e9).max() < 10
        assert len(np.unique(rows[:, 0])) > len(rows) // 2
