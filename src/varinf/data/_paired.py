import numpy as np

from varinf.errors import InputError

from ._source import Source, Spec


class Paired:
    """The rows of a source, wherever they are kept, with a target for each: a source of tuples (x, y).

    Args:
        source: of inputs, whose rows are single arrays.
        targets: numbers, `[n, *shape]`.
        target: what the targets are called.

    Raises:
        InputError: another number of targets than of rows.
    """

    def __init__(self, source: Source, targets: np.ndarray, target: str = "y"):
        if len(targets) != len(source):
            raise InputError(f"expected a target for each of the {len(source)} rows, got {len(targets)}")
        if isinstance(source.spec, tuple):
            raise InputError(f"expected inputs of one array each, got {len(source.spec)} arrays")
        self.source, self.targets = source, targets
        self.name: str = getattr(source, "name", "the data")
        self.spec = (source.spec, Spec(targets.shape[1:], targets.dtype, "table", None, (target,)))

    def __len__(self) -> int:
        return len(self.source)

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The inputs and the targets of the rows of these numbers, in this order."""
        inputs = self.source.take(rows)
        return np.asarray(inputs), self.targets[rows]
