"""One pass over the data against NumPy's own figures, and against exact ones."""

import hashlib
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from varinf import data
from varinf.errors import InputError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "array",
    [
        RNG.integers(0, 256, (1000, 7, 5), dtype=np.uint8),
        RNG.integers(0, 256, (300, 5000), dtype=np.uint8),
        RNG.integers(0, 2, (700, 9)).astype(bool),
        RNG.integers(-500, 500, (400, 70), dtype=np.int32),
        RNG.integers(0, 65536, (400, 3, 3), dtype=np.uint16),
        RNG.normal(size=(5000, 3)).astype(np.float32),
        RNG.normal(size=(1, 3)),
        np.asfortranarray(RNG.normal(size=(900, 100))),
        RNG.normal(size=(50, 40, 40, 3)).astype(np.float16),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
@pytest.mark.parametrize("block_bytes", [1, 3000, 1 << 24])
def test_figures_agree_with_numpy(array, block_bytes):
    summary = data.summarize(data.source(array), block_bytes)
    exact = array.astype(np.float64)
    assert summary.count == len(array)
    assert data.summarize(array, block_bytes).fingerprint == summary.fingerprint
    assert summary.mean.shape == array.shape[1:]
    # Rounding is relative to the largest value: a mean near 0 of large values keeps their error.
    rounding = 4e-15 * np.abs(exact).max()
    np.testing.assert_allclose(summary.mean, exact.mean(0), rtol=0, atol=rounding)
    np.testing.assert_allclose(summary.std, exact.std(0), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(summary.overall_mean, exact.mean(), rtol=0, atol=rounding)
    np.testing.assert_allclose(summary.overall_std, exact.std(), rtol=1e-11)
    assert (summary.minimum, summary.maximum) == (exact.min(), exact.max())
    assert summary.whole == (array.dtype.kind != "f")
    assert summary.binary == (array.dtype == bool)
    head = f"{array.dtype.name} {array.shape[1:]} {len(array)} ".encode()
    assert summary.fingerprint == hashlib.sha256(head + array.tobytes()).hexdigest()


def test_columns_of_any_scale_keep_their_variance():
    """Sums of squares in float64 would give column 1 a variance off by hundreds, or below 0."""
    sign = np.where(np.arange(100_000) % 2, 1.0, -1.0)
    table = np.stack([1e-6 * sign, 1e9 + sign, 1e-9 + 1e-12 * sign, np.full(100_000, 0.1)], axis=1)
    summary = data.summarize(data.source(table), 1 << 16)
    np.testing.assert_allclose(summary.std[:3], [1e-6, 1.0, 1e-12], rtol=1e-12)
    np.testing.assert_allclose(summary.mean[1:3], [1e9, 1e-9], rtol=1e-15)
    assert summary.std[3] == 0.0
    assert summary.mean[3] == 0.1


def test_a_wild_first_row_does_no_harm():
    table = np.r_[1e12, RNG.normal(size=9999)][:, None]
    summary = data.summarize(data.source(table))
    np.testing.assert_allclose(summary.std[0], table.std(), rtol=1e-12)


def test_a_constant_byte_has_no_variance():
    assert data.summarize(data.source(np.full((1000, 4), 201, np.uint8))).std.max() == 0.0


@pytest.mark.parametrize(
    ("values", "whole", "binary"),
    [([0.0, 1.0], True, True), ([0.0, 2.0], True, False), ([-1.0, 1.0], True, False), ([0.0, 0.5], False, False)],
)
def test_whole_and_binary(values, whole, binary):
    summary = data.summarize(data.source(np.array(values)[:, None]))
    assert (summary.whole, summary.binary) == (whole, binary)


@pytest.mark.parametrize("block_bytes", [8, 1 << 24])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_counted_and_placed(bad, block_bytes):
    table = RNG.normal(size=(300, 3))
    table[[17, 17, 200], [1, 2, 0]] = bad
    with pytest.raises(InputError, match=rf"^t: .* 3 values .*\({bad}\) in row 17 .*, column 'b'; ") as caught:
        data.summarize(data.ArraySource(table, columns=["a", "b", "c"], name="t"), block_bytes)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="column 1;"):
        data.summarize(data.source(table), block_bytes)
    with pytest.raises(InputError, match=r"position \(0, 1\);"):
        data.summarize(data.source(table[:, None]), block_bytes)
    # In a subset, by the row's number in the whole.
    with pytest.raises(InputError, match=r"got 1 value that is .* in row 200 "):
        data.summarize(data.Subset(data.source(table), np.arange(100, 300)), block_bytes)


def test_the_fingerprint_tells_data_apart():
    x = np.arange(24, dtype=np.uint8)
    changed = x.copy()
    changed[-1] += 1
    arrays = [
        x.reshape(4, 6),
        x.reshape(6, 4),
        x.reshape(4, 3, 2),
        x.reshape(4, 6).view(np.int8),
        changed.reshape(4, 6),
    ]
    arrays.append(x.reshape(4, 6)[::-1])
    prints = {data.summarize(data.source(array)).fingerprint for array in arrays}
    assert len(prints) == len(arrays)


def test_a_tuple_has_a_summary_each():
    x, y = RNG.normal(size=(50, 3)), np.arange(50)
    summaries = data.summarize(data.source((x, y)))
    assert [summary.fingerprint for summary in summaries] == [
        data.summarize(data.source(x)).fingerprint,
        data.summarize(data.source(y)).fingerprint,
    ]
    assert summaries[1].mean == 24.5


class Liar:
    """A source of three rows, two bytes each, whose `take` gives what it is told to."""

    def __init__(self, given):
        self.spec, self.given = data.Spec((2,), np.dtype(np.uint8), "table"), given

    def __len__(self):
        return 3

    def take(self, _):
        return self.given


BYTES = np.zeros((3, 2), np.uint8)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (BYTES.astype(float), r"float64 of shape \(3, 2\)"),
        (BYTES[:, :1], r"uint8 of shape \(3, 1\)"),
        (BYTES[:1], r"uint8 of shape \(1, 2\)"),
        (BYTES[:0], r"uint8 of shape \(0, 2\)"),
        (BYTES.tolist(), "list"),
        (None, "NoneType"),
        ((BYTES,), "tuple"),
    ],
)
def test_a_source_that_breaks_its_word_is_told_so(given, told):
    with pytest.raises(InputError, match=rf"expected 3 rows of uint8 and shape \(2,\) .*, its take gave {told}$"):
        data.summarize(Liar(given))
    pair = Liar((BYTES, given))
    pair.spec = (pair.spec, pair.spec)
    with pytest.raises(InputError, match=f"its take gave {told}$"):
        data.summarize(pair)
    for pair.given in (BYTES, (BYTES,)):
        with pytest.raises(InputError, match="expected a tuple of 2 arrays"):
            data.summarize(pair)


@settings(max_examples=50, deadline=None)
@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 40), st.integers(1, 3)),
        elements=st.floats(-1e6, 1e6) | st.floats(1e9 - 1, 1e9 + 1),
    ),
    st.integers(1, 200),
)
def test_blocks_change_nothing(array, block_bytes):
    summary = data.summarize(data.source(array), block_bytes)
    whole = data.summarize(data.source(array))
    scale = np.abs(array).max() + 1e-300
    np.testing.assert_allclose(summary.mean, whole.mean, rtol=0, atol=1e-15 * scale * 4)
    np.testing.assert_allclose(summary.std, array.std(0), rtol=1e-10, atol=1e-14 * scale)
    assert summary.fingerprint == whole.fingerprint


def test_memory_is_that_of_a_block(tmp_path):
    """64 MB in blocks of 1 MB: a float64 copy of it all would take 512 MB, a copy 64."""
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((80_000, 800), np.uint8))
    source = data.open(path)
    tracemalloc.start()
    try:
        data.summarize(source, 1 << 20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4e6
