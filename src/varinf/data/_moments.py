"""Running mean and sum of squared deviations of columns, tile by tile within the cache."""

import numpy as np

_TILE = 1 << 16  # values of a tile; in float64 half a megabyte, which stays in the second-level cache


class Moments:
    """Mean and squared deviations of each of `width` columns, with the extremes of all of them.

    Tiles are combined by the update of Chan, Golub and LeVeque (1979), so that a column of 1e9 ± 1 keeps its
    variance.

    Attributes:
        mean: `[width]`.
        squares: `[width]`, the sum of squared deviations from the mean.
        non_finite: how many values are NaN or infinite; the rest is meaningless unless it is 0.
        first: (row, column, value) of the first of those.
    """

    def __init__(self, width: int, dtype: np.dtype):
        self._count = np.zeros(width, np.int64)
        self._shift = np.zeros(width)
        self._mean, self.squares = np.zeros(width), np.zeros(width)
        self.minimum, self.maximum = np.inf, -np.inf
        self.whole = True
        self.non_finite = 0
        self.first: tuple[int, int, float] = (-1, -1, np.nan)
        self._add = self._add_bytes if dtype in (np.uint8, np.bool_) else self._add_numbers

    @property
    def mean(self) -> np.ndarray:
        return self._mean + self._shift

    def add(self, block: np.ndarray, start: int) -> None:
        """Takes in `block`, `[rows, width]`, whose first row has the number `start`."""
        block = block.view(np.uint8) if block.dtype == np.bool_ else block
        with np.errstate(all="ignore"):
            low, high = float(block.min()), float(block.max())  # NaN where there is any
            if not (np.isfinite(low) and np.isfinite(high)):
                self._note_non_finite(block, start)
            self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)
            if self.non_finite:
                return
            if self._count[0] == 0 and self._add == self._add_numbers:
                # Counted from the first row, a constant column has a variance of exactly 0.
                self._shift = block[0].astype(np.float64)
            width = min(block.shape[1], 4096)
            rows = max(_TILE // width, 1)
            for left in range(0, block.shape[1], width):
                columns = slice(left, left + width)
                for top in range(0, len(block), rows):
                    self._add(block[top : top + rows, columns], columns)

    def _note_non_finite(self, block: np.ndarray, start: int) -> None:
        bad = ~np.isfinite(block)
        if not self.non_finite and bad.any():
            row, column = np.unravel_index(int(bad.argmax()), bad.shape)
            self.first = (start + int(row), int(column), float(block[row, column]))
        self.non_finite += int(bad.sum())

    def _add_bytes(self, tile: np.ndarray, columns: slice) -> None:
        # Sums of up to 256 squared bytes are exact in float32, and BLAS adds them fastest.
        for top in range(0, len(tile), 256):
            values = tile[top : top + 256].astype(np.float32)
            ones = np.ones(len(values), np.float32)
            total = (ones @ values).astype(np.int64)
            values *= values
            squared = (ones @ values).astype(np.int64)
            # In whole numbers nothing cancels.
            n = len(values)
            self._combine(n, total / n, (n * squared - total**2) / n, columns)

    def _add_numbers(self, tile: np.ndarray, columns: slice) -> None:
        if self.whole and tile.dtype.kind == "f":
            self.whole = bool((np.rint(tile) == tile).all())
        # Columns in the outer loop where there are few of them: NumPy's inner loops are then long.
        axis = 1 if tile.shape[1] < 64 else 0
        values = np.array(tile.T if axis else tile, np.float64, order="C")
        values -= np.expand_dims(self._shift[columns], axis)
        mean = _sum(values, axis) / len(tile)
        values -= np.expand_dims(mean, axis)
        values *= values
        self._combine(len(tile), mean, _sum(values, axis), columns)

    def _combine(self, n: int, mean: np.ndarray, squares: np.ndarray, columns: slice) -> None:
        before = self._count[columns]
        total = before + n
        apart = mean - self._mean[columns]
        self._mean[columns] += apart * (n / total)
        self.squares[columns] += squares + apart**2 * (before * (n / total))
        self._count[columns] = total


def _sum(values: np.ndarray, axis: int) -> np.ndarray:
    ones = np.ones(values.shape[axis])
    return ones @ values if axis == 0 else values @ ones
