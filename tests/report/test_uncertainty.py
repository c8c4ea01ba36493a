"""The pictures of predictions with uncertainty: of usual and of extreme figures, and that what is in them is in its
place."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread

from varinf import report
from varinf.errors import InputError
from varinf.evaluate import calibration, coverage
from varinf.report._sheet import MARGIN, TITLE_HEIGHT


def _drawn(path) -> np.ndarray:
    pixels = imread(path)[..., :3]
    # something was drawn, on white, with a margin all round
    assert pixels.min() < 0.6
    for edge in (pixels[:4], pixels[-4:], pixels[:, :4], pixels[:, -4:]):
        assert (edge == 1).all()
    return pixels


@pytest.fixture
def said(monkeypatch):
    """The words that a picture is given."""
    words, text = [], Figure.text

    def heard(figure, x, y, given, **rest):
        words.append(given)
        return text(figure, x, y, given, **rest)

    monkeypatch.setattr(Figure, "text", heard)
    return words


@pytest.fixture
def plotted(monkeypatch):
    """The points of the lines that a picture has."""
    lines, plot = [], Axes.plot

    def heard(axes, x, y, *args, **rest):
        lines.append((np.asarray(x), np.asarray(y)))
        return plot(axes, x, y, *args, **rest)

    monkeypatch.setattr(Axes, "plot", heard)
    return lines


def _calibration(name):
    random = np.random.default_rng(0)
    p = random.dirichlet(np.ones(4), 300)
    y = (p.cumsum(1) < random.random((300, 1))).sum(1)
    return {
        "usual": lambda: calibration(p, y),
        "one row": lambda: calibration(p[:1], y[:1]),
        "all right": lambda: calibration(np.eye(3)[y % 3], y % 3),
        "all wrong": lambda: calibration(np.eye(3)[y % 3], (y + 1) % 3, num_bins=1),
        "many bins": lambda: calibration(p, y, num_bins=400),
    }[name]()


@pytest.mark.parametrize("name", ["usual", "one row", "all right", "all wrong", "many bins"])
def test_reliability_and_selective(name, tmp_path, said):
    result = _calibration(name)
    _drawn(report.reliability(result, tmp_path / "r.png", what="held-out rows"))
    n = len(result.selective.coverage)
    assert said[0] == f"Accuracy against confidence of {n} held-out rows"
    assert said[1] == (
        f"ECE {result.ece_equal_width:.4f} in bins of equal width, {result.ece_equal_mass:.4f} of equal mass"
    )
    _drawn(report.selective(result, tmp_path / "s.png"))
    assert said[2] == f"Accuracy of the most confident of {n} rows"


def test_bars_of_reliability_are_as_high_as_the_accuracy(tmp_path):
    # confidence 0.9 and accuracy 0.5: the last of ten bins
    pixels = _drawn(report.reliability(calibration(np.full(4, 0.85), [1, 1, 0, 0], num_bins=10), tmp_path / "r.png"))
    grey = (np.abs(pixels - np.array([0xC3, 0xC7, 0xCD]) / 255) < 0.01).all(-1)
    # axes 560 pixels high for 0 to 1.01, from 92 down; 64 pixels to a bin, from 90 on
    column = np.flatnonzero(grey[92:652, 90 + 8 * 64 + 20])
    assert 560 - column.min() == pytest.approx(560 * 0.5 / 1.01, abs=3)
    assert not grey[92:652, 90 + 7 * 64 + 20].any()
    assert not grey[200:652, 90 + 9 * 64 + 20].any()


def test_selective_goes_to_the_accuracy_of_all(tmp_path, plotted):
    result = _calibration("usual")
    report.selective(result, tmp_path / "s.png")
    ((x, y),) = plotted
    assert (x[-1], y[-1]) == (1, pytest.approx(result.accuracy))


@pytest.mark.parametrize("levels", [(0.9,), (0.95, 0.5, 0.8)])
def test_coverage(levels, tmp_path, said, plotted):
    random = np.random.default_rng(0)
    result = coverage(random.normal(size=(99, 50)), random.normal(size=50), levels)
    _drawn(report.coverage(result, tmp_path / "c.png", what="held-out rows"))
    assert said == ["Rows inside central intervals, of 50 held-out rows", f"CRPS {result.crps:.4g}"]
    x, y = plotted[-1]
    np.testing.assert_array_equal(x, sorted(levels))
    np.testing.assert_array_equal(y, result.observed[np.argsort(levels)])


def _red(pixels):
    return pixels[..., 0] - pixels[..., 2] > 0.2


def _blue(pixels):
    return pixels[..., 2] - pixels[..., 0] > 0.2


@pytest.mark.parametrize("n", [1, 30, 20_000])
def test_uncertainties(n, tmp_path, said):
    random = np.random.default_rng(0)
    epistemic, aleatoric = random.gamma(0.5, size=(2, n))
    path = tmp_path / "u.png"
    # rounding may take a mutual information below 0
    pixels = _drawn(report.uncertainties(epistemic - 1e-9, aleatoric, path, unit="mpg²", what="held-out rows"))
    assert said == [f"Epistemic against aleatoric uncertainty of {n:,} held-out rows"]
    assert not _red(pixels).any()
    pixels = _drawn(report.uncertainties(epistemic, aleatoric, path, right=np.arange(n) % 2 == 0))
    # of one row the point is right or wrong; there is a legend of both
    assert _red(pixels[:92]).any()
    assert _red(pixels[92:]).any() == (n > 1)
    pixels = _drawn(report.uncertainties(np.zeros(n), np.ones(n), path, right=np.ones(n)))
    assert _blue(pixels[92:]).any()


def test_epistemic_is_up_and_aleatoric_to_the_right(tmp_path):
    pixels = _drawn(report.uncertainties([0.0, 0.0, 1.0], [0.0, 1.0, 0.0], tmp_path / "u.png", right=[1, 1, 0]))
    down, right = (where.mean() for where in np.nonzero(_red(pixels[92:672, 110:860])))
    # the wrong row has much of the epistemic and none of the aleatoric: swapped, it were at the lower right
    assert down < 60
    assert right < 60


IMAGES = {
    "grey": (8, 8),
    "colours": (32, 32, 3),
    "large": (300, 200),
    "wide": (1, 40),
    "dot": (1, 1, 1),
    "tall": (500, 20),
}


@pytest.mark.parametrize("shape", IMAGES)
def test_uncertain_inputs(shape, tmp_path, said):
    random = np.random.default_rng(0)
    rows = random.integers(0, 256, (30, *IMAGES[shape])).astype(np.uint8)
    names = np.array(["cat", "_dog", "$a very long name$"])
    given, predicted = random.integers(0, 3, (2, 30))
    path = report.uncertain_inputs(
        rows, random.random(30), tmp_path / "i.png", given=names[given], predicted=names[predicted], unit="nats"
    )
    pixels = _drawn(path)
    assert pixels.shape[1] <= 1500
    assert said[0] == "The most epistemic uncertainty in nats: 24 of 30 rows"
    assert pixels.shape[1] > 70 * 24 / said.count("given")  # room for words
    assert _red(pixels[-300:]).any()


def test_the_most_uncertain_come_first_with_their_labels(tmp_path, said):
    rows = np.arange(5.0).reshape(5, 1, 1) / 4
    epistemic = np.array([0.1, 0.5, 0.2, 0.4, np.nan])
    labels = np.array([10, 11, 12, 13, 14])
    path = report.uncertain_inputs(
        rows, epistemic, tmp_path / "i.png", given=labels, predicted=labels.astype(float), k=3, limits=(0.0, 1.0)
    )
    pixels = _drawn(path)
    levels = np.rint(255 * pixels[MARGIN + TITLE_HEIGHT + 40, MARGIN + 100 + 40 :: 86, 0][:3])
    np.testing.assert_array_equal(levels, [64, 191, 128])
    assert said[1:] == [
        *("given", "11", "13", "12"),
        *("predicted", "11", "13", "12"),
        *("epistemic", "0.50", "0.40", "0.20"),
    ]
    assert not _red(pixels).any()
    said.clear()
    report.uncertain_inputs(rows, epistemic, path)
    assert said[0] == "The most epistemic uncertainty in nats: 5 of 5 rows"
    assert "given" not in said


def test_of_a_table_no_inputs_are_drawn(tmp_path):
    assert report.uncertain_inputs(np.zeros((4, 3)), np.ones(4), tmp_path / "i.png") is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda path: report.uncertainties([1.0, 2.0], [1.0], path), r"aleatoric: expected \[n\].* got shape \(1,\)"),
        (lambda path: report.uncertainties([1.0], [1.0], path, right=[1, 0]), r"right: .* got shape \(2,\)"),
        (lambda path: report.uncertainties([], [], path), r"epistemic: .* n at least 1.* got shape \(0,\)"),
        (lambda path: report.uncertain_inputs(np.zeros((2, 1, 1)), [1.0], path), "epistemic: expected one for each"),
        (lambda path: report.uncertain_inputs(np.zeros((2, 1, 1)), [1.0, 2.0], path, given=[1]), "given: expected"),
        (lambda path: report.uncertain_inputs(np.zeros((0, 1, 1)), [], path), "rows: expected one or more"),
        (lambda path: report.uncertain_inputs(np.zeros((1, 1, 1)), [1.0], path, k=0), "k must be at least 1"),
        (lambda path: report.grid(np.zeros((0, 1, 1)), path, limits=(0, 1)), "images: expected one or more"),
        (lambda path: report.loss_curves({}, path), "history: expected one of renyi, .*, got nothing"),
    ],
)
def test_bad_input_is_one_clear_line(draw, said, tmp_path):
    with pytest.raises(InputError, match=said):
        draw(tmp_path / "never.png")


def test_pictures_of_plain_arrays_need_no_jax(tmp_path):
    code = (
        "import sys; from varinf import evaluate, report;"
        f"report.reliability(evaluate.calibration([0.5], [1]), {str(tmp_path / 'r.png')!r});"
        f"report.uncertainties([1.0], [1.0], {str(tmp_path / 'u.png')!r});"
        "print([m for m in ('jax', 'numpyro', 'matplotlib.pyplot') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
