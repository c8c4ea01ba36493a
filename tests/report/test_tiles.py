from types import SimpleNamespace

import numpy as np
import pytest

from varinf.likelihoods import Binarized, Rescaled
from varinf.likelihoods._observation import AsGiven, Whole
from varinf.report._tiles import data_range, mean_range, resized, tile, tiling, value_range, visible


def test_tile_puts_each_image_in_its_place():
    images = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1, 1) * np.ones((1, 1, 1, 2, 3), np.uint8)
    w = 255
    expected = [
        [0, 0, w, 1, 1, w, 2, 2],
        [w, w, w, w, w, w, w, w],
        [3, 3, w, 4, 4, w, 5, 5],
    ]
    sheet = tile(images, gap=1)
    assert sheet.dtype == np.uint8
    for channel in range(3):
        np.testing.assert_array_equal(sheet[..., channel], expected)


def test_tile_without_gaps_keeps_rows_and_columns_of_an_image():
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    np.testing.assert_array_equal(tile(image[None, None], gap=0), image)
    np.testing.assert_array_equal(tile(image[None, None], gap=2), image)


def test_visible_scales_and_clips():
    levels = visible(np.array([[[-5.0, 0.0, 8.0, 16.0, 99.0]]]), (0.0, 16.0))
    np.testing.assert_array_equal(levels[0, 0, :, 0], [0, 0, 128, 255, 255])
    assert levels.shape == (1, 1, 5, 3)


@pytest.mark.parametrize(
    ("channels", "shown"), [(1, [0, 0, 0]), (2, [0, 0, 0]), (3, [0, 1, 2]), (4, [0, 1, 2]), (5, [0, 0, 0])]
)
def test_visible_shows_colours_or_the_first_channel(channels, shown):
    image = np.broadcast_to(np.arange(channels, dtype=np.uint8), (1, 1, 1, channels))
    np.testing.assert_array_equal(visible(image, (0.0, 255.0))[0, 0, 0], shown)


def test_visible_takes_constants_and_what_is_not_finite():
    assert visible(np.full((1, 2, 2), 7.0), (7.0, 7.0)).max() == 0
    np.testing.assert_array_equal(visible(np.array([[[np.nan, np.inf, -np.inf]]]), (0.0, 1.0))[0, 0, :, 0], [0, 255, 0])


def test_resized_repeats_pixels():
    image = np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1)
    expected = [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    np.testing.assert_array_equal(resized(image, 4)[0, ..., 0], expected)


def test_resized_averages_blocks_of_large_images():
    image = np.zeros((1, 3, 512, 1), np.uint8)
    image[0, :2, :2] = [[[10], [20]], [[30], [40]]]
    small = resized(image)
    assert small.shape == (1, 2, 256, 1)
    assert small[0, 0, 0, 0] == 25
    assert small[0].sum() == 25


@pytest.mark.parametrize(
    "shape", [(1, 1), (2, 2), (8, 8), (28, 28, 1), (32, 30, 3), (1, 200), (256, 256, 3), (900, 20)]
)
def test_tiling_agrees_with_what_resized_makes(shape):
    size = tiling(shape)
    height_width = (*shape[:2], 3)
    assert resized(np.zeros((1, *height_width), np.uint8)).shape[1:3] == (size.height, size.width)
    assert 1 <= size.columns <= 16
    assert size.columns * (size.width + 2) <= 1402
    assert max(size.width, size.height) <= 256


@pytest.mark.parametrize(
    ("values", "max_value", "expected"),
    [
        ([0.0, 0.5], None, (0, 1)),
        ([0.0, 200.0], 255, (0, 255)),
        ([0, 16], 16, (0, 16)),
        ([-2.0, 3.0], None, (-2, 3)),
        ([0, 9], 255, (0, 9)),  # counts kept in bytes
        ([0, 1], 255, (0, 1)),
        ([np.nan, np.inf], None, (0, 1)),
    ],
)
def test_value_range(values, max_value, expected):
    assert value_range(np.array(values), max_value) == expected


def test_ranges_follow_the_observation():
    means, rows = np.array([0.0, 0.3]), np.array([0, 9], np.uint8)
    for observation, of_rows, of_means in (
        (Binarized("dynamic", 16.0), (0, 16), (0, 1)),
        (Rescaled(200.0), (0, 200), (0, 1)),
        (Whole("categorical", 9), (0, 9), (0, 9)),
        (AsGiven(), (0, 9), (0, 9)),
    ):
        model = SimpleNamespace(observation=observation)
        limits = data_range(model, rows, 255)
        assert limits == of_rows
        assert mean_range(model, limits, means) == of_means
