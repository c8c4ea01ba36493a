"""Folders of images: what comes out has the pixels that went in, and damage is told by name."""

import io
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from varinf import data
from varinf.errors import InputError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 6, 5), dtype=np.uint8)
RGB = RNG.integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)


def save(folder, arrays, pattern="{:03d}.png", mode=None):
    folder.mkdir(parents=True, exist_ok=True)
    for i, array in enumerate(arrays):
        image = Image.fromarray(array)
        (image.convert(mode) if mode else image).save(folder / pattern.format(i))
    return folder


def rows_of(source):
    return source.take(np.arange(len(source)))


@pytest.mark.parametrize("array", [GREY, RGB])
def test_png_is_exact(tmp_path, array):
    source = data.open(save(tmp_path / "x", array))
    assert source.spec == data.Spec(array.shape[1:], np.dtype(np.uint8), "images", 255.0)
    assert len(source) == 12
    assert source.labels is None
    np.testing.assert_array_equal(rows_of(source), array)
    np.testing.assert_array_equal(source.take(np.array([7, 2, 7])), array[[7, 2, 7]])


def test_large_images_are_read_by_threads_in_the_same_order(tmp_path):
    large = [np.full((128, 128), i, np.uint8) for i in range(12)]
    source = data.open(save(tmp_path, large))
    assert source._large
    assert source.take(np.arange(12)[::-1])[:, 0, 0].tolist() == list(range(12))[::-1]


def test_jpeg_in_any_spelling(tmp_path):
    smooth = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
    for name in ("b.JPG", "a.jpeg", "c.jpg"):
        Image.fromarray(smooth).save(tmp_path / name, "JPEG", quality=95)
    source = data.open(tmp_path)
    assert [path.name for path in source.paths] == ["a.jpeg", "b.JPG", "c.jpg"]
    assert np.abs(rows_of(source).astype(int) - smooth).max() <= 3


def test_sub_folders_are_labels_and_other_files_are_left_alone(tmp_path):
    save(tmp_path / "dog", GREY[:2])
    save(tmp_path / "cat", GREY[2:4])
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "cat" / "._000.png").write_text("what a Mac leaves")
    (tmp_path / "README.md").write_text("no image")
    source = data.open(tmp_path)
    assert source.labels.tolist() == ["cat", "cat", "dog", "dog"]
    np.testing.assert_array_equal(rows_of(source), GREY[[2, 3, 0, 1]])


def test_grey_among_rgb_becomes_rgb(tmp_path):
    save(tmp_path, GREY[:1], "a.png")
    save(tmp_path, RGB[:1], "b.png")
    taken = rows_of(data.open(tmp_path))
    np.testing.assert_array_equal(taken, [np.repeat(GREY[0][..., None], 3, 2), RGB[0]])


def test_transparent_pixels_are_laid_on_white(tmp_path):
    rgba = np.dstack([RGB[0], np.full((6, 5), 255, np.uint8)])
    rgba[0, 0] = (9, 9, 9, 0)
    rgba[0, 1] = (0, 0, 0, 128)
    save(tmp_path / "rgba", [rgba])
    expected = RGB[0].copy()
    expected[0, 0], expected[0, 1] = 255, 127
    np.testing.assert_array_equal(rows_of(data.open(tmp_path / "rgba"))[0], expected)
    save(tmp_path / "la", [np.dstack([GREY[0], np.zeros((6, 5), np.uint8)])])
    np.testing.assert_array_equal(rows_of(data.open(tmp_path / "la"))[0], np.full((6, 5), 255))


def test_palettes_and_black_and_white(tmp_path):
    palette = np.zeros((6, 5, 3), np.uint8)
    palette[:3] = (255, 0, 51)  # a colour of the web palette, which Pillow takes
    save(tmp_path / "p", [palette], mode="P")
    np.testing.assert_array_equal(rows_of(data.open(tmp_path / "p"))[0], palette)
    save(tmp_path / "1", [GREY[0] > 127])
    np.testing.assert_array_equal(rows_of(data.open(tmp_path / "1"))[0], np.where(GREY[0] > 127, 255, 0))


@pytest.mark.parametrize("colour", [0, 2, 4, 6])  # PNG's numbers of grey, RGB, and both with alpha
def test_sixteen_bits_are_refused(tmp_path, colour):
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, colour, 0, 0, 0))
    pixel = chunk(b"IDAT", zlib.compress(bytes(9)[: 1 + 2 * {0: 1, 2: 3, 4: 2, 6: 4}[colour]]))
    (tmp_path / "000.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + pixel + chunk(b"IEND", b""))
    with pytest.raises(InputError, match=r"000\.png: expected 8 bits per channel, got 16"):
        data.open(tmp_path)


@pytest.mark.parametrize(("resize", "shape"), [(8, (8, 8)), ((4, 10), (4, 10))])
def test_resize_brings_them_to_one_size(tmp_path, resize, shape):
    save(tmp_path, [np.full((20, 30), 70, np.uint8)], "a.png")
    save(tmp_path, [np.full((300, 200), 70, np.uint8)], "b.jpg")
    source = data.open(tmp_path, resize=resize)
    assert source.spec.shape == shape
    np.testing.assert_array_equal(rows_of(source), np.full((2, *shape), 70))


def test_resize_averages_rather_than_skips(tmp_path):
    """Taking each eighth pixel of this chequered image would give all black."""
    save(tmp_path, [np.tile(np.array([[0, 255], [255, 0]], np.uint8), (32, 32))])
    assert np.abs(rows_of(data.open(tmp_path, resize=8)).astype(int) - 127).max() <= 2


@pytest.mark.parametrize("shape", [(65, 65), (129, 143), (300, 201), (33, 64), (9, 9)])
def test_a_resized_jpeg_is_that_of_all_its_pixels(tmp_path, shape):
    """A quarter of 65 pixels is 17, of which the last is three parts padding: with that for a part of the image, this
    ramp was off by 5 to 10."""
    ramp = np.add.outer(np.linspace(0, 90, shape[0]), np.linspace(0, 160, shape[1])).astype(np.uint8)
    Image.fromarray(ramp).save(tmp_path / "a.jpg", quality=95)
    whole = Image.open(tmp_path / "a.jpg").resize((10, 8), Image.Resampling.LANCZOS)
    assert np.abs(rows_of(data.open(tmp_path, resize=(8, 10)))[0].astype(int) - np.asarray(whole)).max() <= 2


@pytest.mark.parametrize("resize", [None, (8, 10)])
def test_a_photograph_is_turned_as_its_exif_says(tmp_path, resize):
    ramp = np.add.outer(np.linspace(0, 90, 40), np.linspace(0, 160, 67)).astype(np.uint8)
    exif = Image.Exif()
    for name, orientations in (("wide", (0, 1, 2, 3, 4, 9)), ("high", (5, 6, 7, 8))):  # 0 and 9 mean nothing
        (tmp_path / name).mkdir()
        for exif[0x0112] in orientations:
            Image.fromarray(ramp).save(tmp_path / name / f"{exif[0x0112]}.jpg", quality=95, exif=exif)
        source = data.open(tmp_path / name, resize=resize)
        for path, image in zip(source.paths, rows_of(source), strict=True):
            upright = ImageOps.exif_transpose(Image.open(path))
            upright = upright if resize is None else upright.resize((10, 8), Image.Resampling.LANCZOS)
            assert np.abs(image - np.asarray(upright, int)).max() <= 2


def test_exif_that_is_damaged_is_passed_over(tmp_path):
    Image.fromarray(GREY[0]).save(tmp_path / "a.jpg", dpi=(72, 72), exif=b"Exif\0\0no such thing")
    assert rows_of(data.open(tmp_path)).shape == (1, 6, 5)


@pytest.mark.parametrize("resize", [np.int64(3), np.array([3, 3]), [3, 3]])
def test_a_size_is_of_any_kind_of_whole_numbers(tmp_path, resize):
    assert data.open(save(tmp_path, GREY[:1]), resize=resize).spec.shape == (3, 3)


@pytest.mark.parametrize(
    ("resize", "message"),
    [
        (0, "at least 1 × 1"),
        ((3, 0), "at least 1 × 1"),
        ((-1, 5), "at least 1 × 1"),
        ((3,), "at least 1 × 1"),
        (2.5, "resize must be a whole number, got 2.5"),
        ((2.5, 3), "resize must be a whole number, got 2.5"),
        ("8", "resize must be a whole number, got '8'"),
    ],
)
def test_a_size_that_is_none(tmp_path, resize, message):
    save(tmp_path, GREY[:1])
    with pytest.raises(InputError, match=message):
        data.open(tmp_path, resize=resize)


def test_links_that_lead_nowhere_are_passed_over(tmp_path):
    save(tmp_path, GREY[:2])
    for name in ("loop.png", "loop"):
        (tmp_path / name).symlink_to(name)
        (tmp_path / f"dangling-{name}").symlink_to(f"nowhere-{name}")
    (tmp_path / "again.png").symlink_to("000.png")
    assert [path.name for path in data.open(tmp_path).paths] == ["000.png", "001.png", "again.png"]


def faults():
    def unequal(folder):
        save(folder, GREY[:1], "a.png")
        save(folder, GREY[:1, :3], "b.png")
        return r"got 6×5 \(a\.png\), 3×5 \(b\.png\) .* --resize"

    def many_sizes(folder):
        save(folder, [GREY[0, :i] for i in range(1, 6)])
        return "and 2 more"

    def nothing(folder):
        folder.mkdir()
        return "got none"

    def no_images(folder):
        nothing(folder)
        (folder / "a.txt").write_text("hello")
        return "got none"

    def no_image(folder):
        save(folder, GREY[:1])
        (folder / "fake.png").write_text("hello")
        return r"fake\.png is damaged or not a PNG or JPEG image"

    def empty(folder):
        save(folder, GREY[:1])
        (folder / "empty.jpg").touch()
        return r"empty\.jpg is damaged"

    def another_format(folder):
        folder.mkdir()
        Image.fromarray(GREY[0]).save(folder / "gif.png", "GIF")
        return r"gif\.png is damaged or not a PNG or JPEG"

    def both(folder):
        save(folder, GREY[:1])
        save(folder / "sub", GREY[:1])
        return r"got both \(000\.png and sub/000\.png\)"

    return [unequal, many_sizes, nothing, no_images, no_image, empty, another_format, both]


@pytest.mark.parametrize("make", faults(), ids=lambda make: make.__name__)
def test_faults_that_the_headers_show(tmp_path, make):
    message = make(tmp_path / "x")
    with pytest.raises(InputError, match=message) as caught:
        data.open(tmp_path / "x")
    assert str(tmp_path / "x") in str(caught.value)
    assert "\n" not in str(caught.value)


def encoded(array, kind):
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(("count", "size"), [(2, 40), (12, 150)])  # one by one, and by threads
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_truncated_image_is_named_when_it_is_read(tmp_path, kind, count, size):
    suffix = {"PNG": ".png", "JPEG": ".jpg"}[kind]
    big = RNG.integers(0, 256, (size, size), dtype=np.uint8)
    save(tmp_path, [big] * count, "{:03d}" + suffix)
    content = encoded(big, kind)
    (tmp_path / ("001" + suffix)).write_bytes(content[: len(content) * 2 // 3])
    source = data.open(tmp_path)
    for read in (lambda: source.take(np.array([1])), lambda: rows_of(source), lambda: data.summarize(source)):
        with pytest.raises(InputError, match=r"001\.(png|jpg) is damaged") as caught:
            read()
        assert "\n" not in str(caught.value)
    assert source.take(np.array([0])).shape == (1, size, size)


def test_an_image_that_is_gone_or_changed(tmp_path):
    save(tmp_path, GREY[:2])
    source = data.open(tmp_path)
    (tmp_path / "000.png").unlink()
    with pytest.raises(InputError, match=r"cannot read .*000\.png: No such file"):
        rows_of(source)
    save(tmp_path, RGB[:1, :3])
    with pytest.raises(InputError, match=r"000\.png changed"):
        rows_of(source)


def test_a_header_that_promises_a_huge_image(tmp_path):
    content = bytearray(encoded(GREY[0], "PNG"))
    content[16:24] = (12_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.png is damaged"):
        data.open(tmp_path)


def opens_or_says_why(content, resize=None):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.png").write_bytes(content)
        try:
            taken = rows_of(data.open(folder, resize=resize))
        except InputError:
            return None
        assert taken.dtype == np.uint8
        return taken


WHOLE = [encoded(array, kind) for array in (GREY[0], RGB[0]) for kind in ("PNG", "JPEG")]


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(WHOLE), st.integers(0, 10**6), st.integers(1, 255), st.sampled_from([None, 3]))
def test_flipped_bytes_raise_nothing_else(content, at, flip, resize):
    content = bytearray(content)
    content[at % len(content)] ^= flip
    opens_or_says_why(bytes(content), resize)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(WHOLE), st.integers(0, 10**6))
def test_cut_short_it_is_refused_or_whole(content, cut):
    taken = opens_or_says_why(content[: cut % len(content)])
    # Only the marks at a file's end can be missing without loss of pixels.
    assert taken is None or np.array_equal(taken, opens_or_says_why(content))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"P6 9 9 255 "]), st.binary(max_size=80))
def test_random_bytes_are_refused(head, tail):
    assert opens_or_says_why(head + tail) is None
