"""Orders and splits: permutations that are pure functions of a seed."""

import numpy as np
import pytest

from varinf import data
from varinf.errors import InputError


@pytest.mark.parametrize("n", [1, 2, 1000])
def test_an_order_is_a_permutation(n):
    assert np.array_equal(np.sort(data.order(3, 5, n)), np.arange(n))


def test_an_order_is_a_pure_function_of_seed_and_epoch():
    np.testing.assert_array_equal(data.order(1, 2, 100), data.order(1, 2, 100))
    orders = [tuple(data.order(seed, epoch, 100)) for seed in range(5) for epoch in range(5)]
    assert len(set(orders)) == 25  # a key of seed + epoch would give 9


def test_an_order_does_not_change_between_versions():
    # A checkpoint of an older version is resumed with the rows that it would have seen.
    assert data.order(0, 0, 8).tolist() == [5, 0, 6, 1, 7, 2, 4, 3]
    assert data.order(-1, 7, 8).tolist() == [7, 5, 2, 0, 4, 1, 3, 6]


def test_every_place_is_equally_likely():
    # 2000 orders of 5: each count is Binomial(2000, 1/5), standard deviation 17.9.
    counts = np.zeros((5, 5))
    for epoch in range(2000):
        counts[np.arange(5), data.order(0, epoch, 5)] += 1
    assert np.abs(counts - 400).max() < 4.5 * 17.9


def test_numpy_numbers_will_do():
    np.testing.assert_array_equal(data.order(np.int64(3), np.int32(1), 9), data.order(3, 1, 9))


def test_a_split_parts_all_rows_by_seed():
    source = data.ArraySource(np.arange(20.0)[:, None], labels=np.arange(20))
    train, held = data.split(source, 0.25, seed=7)
    assert (len(train), len(held)) == (15, 5)
    assert sorted([*train.rows, *held.rows]) == list(range(20))
    assert np.all(np.diff(train.rows) > 0)
    np.testing.assert_array_equal(held.labels, held.rows)
    again = data.split(source, 0.25, seed=7)
    np.testing.assert_array_equal(again[1].rows, held.rows)
    assert not np.array_equal(data.split(source, 0.25, seed=8)[1].rows, held.rows)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, 0.01, 0.99, float("nan")])
def test_a_split_leaves_rows_on_both_sides(fraction):
    with pytest.raises(InputError, match="at least one of 10 rows"):
        data.split(data.source(np.zeros((10, 1))), fraction, seed=0)


def test_one_row_cannot_be_split():
    with pytest.raises(InputError, match=r"expected two rows or more, .* got 1"):
        data.split(data.source(np.zeros((1, 1))), 0.5, seed=0)
