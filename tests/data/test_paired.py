"""Inputs of any source with targets beside them."""

import numpy as np
import pytest

from varinf import data
from varinf.errors import InputError

X, Y = np.arange(12.0).reshape(6, 2), np.arange(6) * 10


def test_pairs_are_those_of_two_arrays_side_by_side():
    paired, expected = data.Paired(data.source(X), Y), data.ArraySource((X, Y))
    assert len(paired) == 6
    assert [spec.shape for spec in paired.spec] == [spec.shape for spec in expected.spec]
    rows = np.array([4, 0, 4])
    for ours, theirs in zip(paired.take(rows), expected.take(rows), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    ours, theirs = data.summarize(paired), data.summarize(expected)
    assert [one.fingerprint for one in ours] == [one.fingerprint for one in theirs]


def test_what_is_wrong_is_said_of_the_column_and_the_row_of_the_whole():
    targets = np.where(Y == 40, np.nan, Y)
    part = data.Subset(data.Paired(data.source(X), targets, "price"), np.array([1, 4]))
    with pytest.raises(InputError, match=r"in row 4 \(counted from 0\), column 'price'"):
        data.summarize(part)


def test_a_target_for_each_row():
    with pytest.raises(InputError, match="expected a target for each of the 6 rows, got 5"):
        data.Paired(data.source(X), Y[:5])
    with pytest.raises(InputError, match="inputs of one array each, got 2"):
        data.Paired(data.source((X, Y)), Y)
