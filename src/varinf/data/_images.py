"""A folder of PNG or JPEG images as rows, read on demand by Pillow."""

import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from varinf._checks import whole
from varinf.errors import InputError

from ._faults import reading
from ._source import WHITE, Spec

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

SUFFIXES = (".png", ".jpg", ".jpeg")
_GREY = ("1", "L", "LA", "La")
_MAX_RATIO = 1100  # DEFLATE packs at most 1032 to 1, so a PNG that promises more is a lie

_LARGE = 1 << 14  # pixels


class FolderSource:
    """The images of a folder, all brought to one size and all grey or all RGB, sorted by name.

    Where they are in sub-folders, the sub-folders' names are the labels. Headers are checked when the source
    is made, pixels when they are read. Transparent pixels are laid on white, and a JPEG is turned as its EXIF says.

    Args:
        folder: with images in it, or in its sub-folders.
        resize: `(height, width)`, or one number for both; None takes the images' own size, if they share one.

    Raises:
        InputError: no images, unequal sizes, or a file that is no image; here or in `take`.
    """

    def __init__(self, folder: Path, resize: tuple[int, int] | int | None = None):
        self.name = str(folder)
        size = None
        if resize is not None:
            sides: Any = (resize, resize) if np.ndim(resize) == 0 else resize
            size = tuple(whole("resize", side) for side in sides)
            if len(size) != 2 or min(size) < 1:
                raise InputError(f"expected a size to resize to of at least 1 × 1, got {resize}")
        self._resize = size
        self.paths, self.labels = _list(folder)
        with ThreadPoolExecutor(_workers()) as pool:
            scans = list(pool.map(_scan, self.paths))
        sizes: dict[tuple[int, int], Path] = {}
        for (found, _), path in zip(scans, self.paths, strict=True):
            sizes.setdefault(found, path)
        if size is None and len(sizes) > 1:
            shown = ", ".join(f"{h}×{w} ({path.name})" for (h, w), path in list(sizes.items())[:3])
            more = f" and {len(sizes) - 3} more" if len(sizes) > 3 else ""
            raise InputError(
                f"{folder}: expected images of one size, got {shown}{more} (height × width); "
                f"bring them to one size with --resize (resize=)"
            )
        # Decoding lets go of the interpreter's lock, but only large images take long enough for threads to pay.
        self._large = max(h * w for h, w in sizes) >= _LARGE
        self._grey = all(grey for _, grey in scans)
        height, width = size or next(iter(sizes))
        shape = (height, width) if self._grey else (height, width, 3)
        self.spec = Spec(shape, np.dtype(np.uint8), "images", WHITE["uint8"])

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The images of these numbers, uint8 `[len(rows), height, width]`, or with 3 channels at the end."""
        out = np.empty((len(rows), *self.spec.shape), np.uint8)

        def fill(i: int) -> None:
            out[i] = self._read(self.paths[rows[i]])

        if len(rows) < 8 or not self._large:
            for i in range(len(rows)):
                fill(i)
        else:
            with ThreadPoolExecutor(_workers()) as pool:
                for _ in pool.map(fill, range(len(rows))):
                    pass
        return out

    def _read(self, path: Path) -> np.ndarray:
        from PIL.Image import Resampling

        height, width = self.spec.shape[:2]
        with _opened(path) as image:
            orientation, box = _orientation(image), None
            size = (width, height) if orientation < 5 else (height, width)
            if self._resize is not None:
                # Lets JPEG decode at a half, quarter or eighth of its size where that is still twice what is asked for.
                # The last of those pixels may be in part beyond the image, which ends where the box does.
                _, box = image.draft(None, (2 * size[0], 2 * size[1])) or (None, None)
            image = _flat(image, "L" if self._grey else "RGB")
            if self._resize is not None and image.size != size:
                image = image.resize(size, Resampling.LANCZOS, box)
            pixels = np.asarray(_upright(image, orientation))
            if pixels.shape != self.spec.shape:
                raise InputError(f"{path} changed since the folder was opened: expected {self.spec.shape} pixels")
        return pixels


def has_images(folder: Path) -> bool:
    """Whether there is an image in `folder` or its sub-folders."""
    with reading(folder, "a folder"):
        return bool(_images(folder)) or any(_images(sub) for sub in _folders(folder))


def _list(folder: Path) -> tuple[list[Path], np.ndarray | None]:
    """The paths of the images, and their labels where they are in sub-folders."""
    with reading(folder, "a folder"):
        here = _images(folder)
        below = [(path, sub.name) for sub in _folders(folder) for path in _images(sub)]
    if here and below:
        raise InputError(
            f"{folder}: expected images in the folder or in its sub-folders, got both ({here[0].name} and "
            f"{below[0][1]}/{below[0][0].name}); move them apart"
        )
    if not here and not below:
        raise InputError(f"{folder}: expected PNG or JPEG images, got none in the folder or in its sub-folders")
    if here:
        return here, None
    return [path for path, _ in below], np.array([label for _, label in below])


def _images(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.lower().endswith(SUFFIXES) and _leads_to(entry.is_file)]
    # A name with a dot in front is no image but what a file manager keeps beside one.
    return [folder / name for name in sorted(names) if not name.startswith(".")]


def _folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if _leads_to(entry.is_dir) and not entry.name.startswith(".")]
    return [folder / name for name in sorted(names)]


def _leads_to(kind: Callable[[], bool]) -> bool:
    """What a folder's entry says of its kind; no of a link to itself, as of a link to nothing."""
    try:
        return kind()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return False
        raise


def _scan(path: Path) -> tuple[tuple[int, int], bool]:
    """(height, width) and whether it is grey, from the header alone."""
    with _opened(path) as image:
        # What Pillow keeps of these is, but for grey, the upper byte.
        if any("16B" in str(tile[3]) for tile in image.tile):
            raise InputError(f"{path}: expected 8 bits per channel, got 16; convert it, or save the images as .npy")
        width, height = image.size
        if image.format == "PNG":
            bits = width * height * (1 if image.mode in ("1", "P", "L") else 8)
            if bits // 8 > _MAX_RATIO * path.stat().st_size:
                raise InputError(f"{path} is damaged: its header promises {height} × {width} pixels")
        return (height, width) if _orientation(image) < 5 else (width, height), image.mode in _GREY


@contextmanager
def _opened(path: Path) -> Iterator["ImageFile"]:
    from PIL import Image

    with reading(path, "a PNG or JPEG image"), Image.open(path, formats=("PNG", "JPEG")) as image:
        yield image


def _orientation(image: "Image") -> int:
    """As EXIF numbers it, from 1, upright, to 8, of a JPEG; from 5 on its sides are swapped."""
    if image.format == "PNG":
        return 1  # where it has EXIF, that may come after all its pixels
    try:
        orientation = image.getexif().get(0x0112, 1)
    except Exception:
        return 1  # the pixels may be sound where this is damaged
    return orientation if orientation in range(1, 9) else 1


def _upright(image: "Image", orientation: int) -> "Image":
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


def _flat(image: "Image", mode: str) -> "Image":
    """In `mode`, and laid on white where it is transparent."""
    if not image.has_transparency_data:
        return image.convert(mode)
    from PIL import Image

    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert(mode)


def _workers() -> int:
    return min(8, os.cpu_count() or 1)
