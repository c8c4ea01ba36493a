"""A picture made of blocks of pixels and lines of text, each block shown pixel for pixel."""

import math
from pathlib import Path

import numpy as np

from varinf.report._style import INK, LABEL, TITLE, Block, new_figure, save, text_width, write

MARGIN = 24
TITLE_HEIGHT = 40


class Sheet:
    """A white sheet that is as large as what is put on it; places are pixels from its upper left corner."""

    def __init__(self):
        self._blocks: list[Block] = []
        self._texts: list[tuple[float, float, str, dict]] = []
        self._right = 0  # end of all words

    def image(self, block: np.ndarray, left: int, top: int) -> tuple[int, int]:
        """Put `[height, width, 3]` there; gives back where its right and lower ends are."""
        self._blocks.append((block, left, top))
        return left + block.shape[1], top + block.shape[0]

    def title(self, text: str, left: int = MARGIN) -> int:
        """A line at the top; gives back where its right end is."""
        self._texts.append((left, MARGIN + 6, text, {"size": TITLE, "colour": INK, "va": "center"}))
        return self._up_to(left + text_width(text, TITLE))

    def label(self, text: str, x: float, y: float, *, align: str = "right", colour: str = INK) -> None:
        """A few words, centred in height on y."""
        self._texts.append((x, y, text, {"size": LABEL, "colour": colour, "va": "center", "ha": align}))
        if align == "left":
            self._up_to(x + text_width(text, LABEL))

    def _up_to(self, x: float) -> int:
        """Make the sheet so wide that words end on it; gives back the whole pixel."""
        right = math.ceil(x)
        self._right = max(self._right, right)
        return right

    def save(self, path: str | Path, *, bottom: int = 0) -> Path:
        """Write the sheet as a PNG, with so much more room below."""
        width = MARGIN + max(self._right, *(left + block.shape[1] for block, left, _ in self._blocks))
        height = MARGIN + bottom + max(top + block.shape[0] for block, _, top in self._blocks)
        figure = new_figure(width, height)
        for x, y, text, rest in self._texts:
            write(figure, x, y, text, **rest)
        return save(figure, path, self._blocks)
