"""Each picture over a table of kinds of models; and that what is in it is in its place."""

import subprocess
import sys
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from numpyro.distributions import Independent, Normal

import varinf as vi
from varinf import report
from varinf.evaluate import Codes
from varinf.likelihoods import AsGiven
from varinf.report._codes import draw_codes
from varinf.report._manifold import manifold_pixels
from varinf.report._progress import evenly_in_log
from varinf.report._sheet import MARGIN, TITLE_HEIGHT
from varinf.report._traversals import draw_traversals

KEY = jax.random.key(0)
HISTORY = {
    "loss": [30.0, 20.0, 19.0],
    "elbo": [-30.0, -20.0, -19.0],
    "reconstruction": [-29.0, -18.0, -16.0],
    "kl": [1.0, 2.0, 3.0],
    "validation_elbo": [-31.0, -21.0, -20.0],
}

# (shape, latents, likelihood, values of the rows, rows, further settings)
CASES = {
    "digits": ((8, 8), 2, "bernoulli", 17, 40, {"binarize": "dynamic", "scale": 16}),
    "one latent": ((8, 8), 1, "gaussian", 256, 30, {}),
    "one pixel": ((1, 1), 3, "continuous_bernoulli", 256, 9, {"scale": 255}),
    "rgb": ((6, 9, 3), 4, "discretized_logistic", 256, 30, {"posterior": "full_rank"}),
    "constant, two channels": ((2, 2, 2), 2, "gaussian", 1, 5, {}),
    "large": ((256, 200), 2, "gaussian", 256, 3, {"variance": 1.0}),
    "wide, one row": ((2, 700), 3, "bernoulli", 2, 1, {}),
    "classes": ((3, 3), 3, "categorical", 5, 5, {}),
    "table": ((5,), 2, "gaussian", None, 60, {}),
    "one column": ((1,), 1, "gaussian", None, 1, {}),
    "many columns": ((14,), 3, "poisson", 7, 60, {}),
}


def _case(name: str) -> tuple[Any, np.ndarray]:
    shape, dim, likelihood, values, n, settings = CASES[name]
    random = np.random.default_rng(0)
    if values is None:
        rows = random.normal(size=(n, *shape)) * 10.0 ** np.arange(-6, -6 + shape[0])
    else:
        rows = random.integers(0, values, (n, *shape)).astype(np.uint8)
    source = vi.data.ArraySource(rows)
    build = vi.VAE.build(
        event_shape=shape,
        latent_dim=dim,
        hidden=(4,),
        likelihood=likelihood,
        summary=vi.data.summarize(source),
        key=KEY,
        **settings,
    )
    return build, rows


def _size(path) -> tuple[int, int]:
    pixels = imread(path)
    assert pixels.ndim == 3
    # something was drawn, on white
    assert pixels[..., :3].min() < 0.6
    assert (pixels[:4] == 1).all()
    return pixels.shape[:2]


@pytest.mark.parametrize("name", CASES)
def test_all_pictures_of(name, tmp_path):
    model, rows = _case(name)
    table = rows.ndim == 2
    wanted, snapshots = {"codes", "reconstructions", "samples"}, []
    history = HISTORY if name == "digits" else {"loss": []}
    if name == "digits":
        wanted.add("loss_curves")
    if not table:
        wanted |= {"manifold" if CASES[name][1] == 2 else "traversals", "progress"}
        snapshots = [(epoch, np.full((3, *rows.shape[1:]), epoch / 3)) for epoch in (1, 2, 3)]
    written = report.write_pictures(
        model,
        rows,
        history=history,
        folder=tmp_path,
        labels=None if name == "rgb" else np.arange(len(rows)) % 3,
        snapshots=snapshots,
        kind="table" if table else "images",
        max_value=None if table else 255,
        key=KEY,
    )
    assert {path.name for path in written} == {f"{stem}.png" for stem in wanted} == {p.name for p in tmp_path.iterdir()}
    for path in written:
        height, width = _size(path)
        assert 80 <= height <= 1600
        assert 150 <= width <= 1700, path


def test_same_key_same_bytes(tmp_path):
    model, _ = _case("digits")
    first, second, other = (
        report.samples(model, tmp_path / name, key=jax.random.key(seed)).read_bytes()
        for name, seed in (("a.png", 1), ("b.png", 1), ("c.png", 2))
    )
    assert first == second != other


def test_a_second_time_nothing_compiles(tmp_path, compilations):
    model, rows = _case("digits")
    for seed in (1, 2):
        compilations.clear()
        report.write_pictures(model, rows[seed:], history=HISTORY, folder=tmp_path, key=jax.random.key(seed))
    assert not compilations


LABELS = {
    "none": None,
    "one class": np.zeros(40, int),
    "digits": np.arange(40) % 10,
    "truth": np.arange(40) % 2 == 0,
    "names": np.array(["_cat", "$dog$", "鳥", "a very long name of a class"])[np.arange(40) % 4],
    "many names": np.array([f"name {i}" for i in range(40)]),
    "scale": np.linspace(0, 1, 40),
    "one value": np.full(40, 0.5),
    "gaps": np.where(np.arange(40) % 3, np.linspace(-1, 1, 40), np.nan),
    "many numbers": np.arange(40),
    "matrix": np.zeros((40, 2)),
}


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("dim", [1, 3])
def test_codes_take_any_labels(name, dim, tmp_path):
    means = np.random.default_rng(0).normal(size=(40, dim))
    _size(draw_codes(Codes(means, np.ones_like(means), None), LABELS[name], tmp_path / "codes.png"))


def test_rows_are_called_held_out_where_they_are_and_only_there(tmp_path, monkeypatch):
    said, text = [], Figure.text

    def heard(figure, x, y, words, **rest):
        said.append(words)
        return text(figure, x, y, words, **rest)

    monkeypatch.setattr(Figure, "text", heard)
    model, rows = _case("table")
    report.codes(model, rows, None, tmp_path / "codes.png")
    report.samples(model, tmp_path / "samples.png", rows=rows, key=KEY)
    assert said[0] == "Posterior means of 60 rows"
    assert "Samples from the model, beside data" in said
    said.clear()
    report.write_pictures(model, rows, history={"loss": []}, folder=tmp_path, kind="table", key=KEY)
    assert {"Posterior means of 60 held-out rows", "Samples from the model, beside held-out data"} <= set(said)


@pytest.mark.parametrize("epochs", [1, 2, 400])
def test_loss_curves_of(epochs, tmp_path):
    values = list(-20 - 100 / np.arange(1, epochs + 1))
    histories = [
        {"loss": values},
        {"loss": values, "elbo": values, "iwae": values, "validation_iwae": values, "kl": [0.0] * epochs},
        {"elbo": [np.nan, *values[1:]], "kl": [-1e9] * epochs},
    ]
    for i, history in enumerate(histories):
        _size(report.loss_curves(history, tmp_path / f"{i}.png"))


def test_the_first_epochs_do_not_flatten_the_rest():
    from varinf.report._loss_curves import _view

    steep = np.r_[-500.0, -300.0, np.linspace(-20, -10, 60)]
    low, high = _view([steep])
    assert -24 < low < -20 < -10 < high < -8
    for seen in (np.linspace(-20, -10, 60), np.array([-500.0, -10.0]), np.array([-500.0, -20.0, -10.0])):
        low, high = _view([seen])
        assert low < seen[0] < -10 < high


class Linear(eqx.Module):
    """x = W z + b without noise, and back: what is drawn of it is known."""

    prior: Any
    weights: jax.Array
    bias: jax.Array
    observation: Any = AsGiven()

    def encoder(self, x):
        z = (x - self.bias).reshape(len(x), -1) @ jnp.linalg.pinv(self.weights.reshape(len(self.weights), -1))
        return vi.distributions.MultivariateNormalDiag(z, jnp.ones_like(z))

    def decode(self, z):
        mean = jnp.tensordot(jnp.asarray(z), self.weights, 1) + self.bias
        return Independent(Normal(mean, 1e-6), self.weights.ndim - 1)


def _linear(weights, bias=0.5) -> Linear:
    weights = jnp.asarray(weights, float)
    prior = vi.distributions.MultivariateNormalDiag(jnp.zeros(len(weights)), jnp.ones(len(weights)))
    return Linear(prior, weights, jnp.asarray(bias))


def test_the_manifold_grows_to_the_right_and_upwards():
    pixels = manifold_pixels(_linear([[[0.1, 0.0]], [[0.0, 0.1]]]), (0.0, 1.0)).astype(float)[..., 0]
    width = pixels.shape[1]
    size = width // 10
    # pixel 1 of an image follows z₁, pixel 2 follows z₂; the corners are ±2.33
    left, right = pixels[-2, 2], pixels[-2, width - size]
    assert left < 90 < 160 < right
    low, high = pixels[-2, -3], pixels[2, -3]
    assert low < 90 < 160 < high
    with pytest.raises(ValueError, match="this model has 3"):
        report.manifold(_linear(np.ones((3, 1, 1))), "never.png")


def test_traversals_show_the_active_latents_by_their_worth(tmp_path):
    model = _linear([[[0.1]], [[0.3]], [[-0.1]]])
    means = np.zeros((10, 3))
    means[:, 0], means[:, 2] = np.linspace(-1, 1, 10), np.linspace(-2, 2, 10)
    path = draw_traversals(
        model, Codes(means, np.ones_like(means), np.array([0.5, 0.0, 2.0])), tmp_path / "t.png", (0.0, 1.0)
    )
    levels = np.rint(imread(path)[..., 0] * 255)
    first = levels[MARGIN + TITLE_HEIGHT + 26 + 40, MARGIN + 130 + 40 :: 86][:13]
    second = levels[MARGIN + TITLE_HEIGHT + 26 + 126, MARGIN + 130 + 40 :: 86][:13]
    rising = np.rint(255 * (0.5 + 0.1 * np.linspace(-3, 3, 13)))
    np.testing.assert_allclose(first, rising[::-1], atol=1)
    np.testing.assert_allclose(second, rising, atol=1)
    # latent 2, though strong, is not active: two lines of 84 pixels
    assert len(levels) == MARGIN + TITLE_HEIGHT + 26 + 2 * 84 + 2 + MARGIN


def test_reconstructions_stand_under_their_data(tmp_path):
    rows = np.linspace(0, 1, 7).reshape(7, 1, 1)
    path = report.reconstructions(_linear([[[1.0]]], 0.0), rows, tmp_path / "r.png")
    levels = np.rint(imread(path)[..., 0] * 255)
    data, again = (levels[MARGIN + TITLE_HEIGHT + 40 + down, MARGIN + 118 + 40 :: 86][:7] for down in (0, 86))
    np.testing.assert_array_equal(data, np.rint(255 * rows.ravel()))
    np.testing.assert_allclose(again, data, atol=1)


def test_draws_stand_beside_their_means(tmp_path):
    levels = imread(report.samples(_linear([[[0.3]]]), tmp_path / "s.png", limits=(0.0, 1.0), key=KEY))[..., 0]
    line = levels[MARGIN + TITLE_HEIGHT + 40]
    means = line[MARGIN + 40 :: 86][:10]
    draws = line[MARGIN + 10 * 86 - 2 + 30 + 40 :: 86][:5]
    assert len(np.unique(means)) > 4
    np.testing.assert_allclose(draws, means[:5], atol=0.01)


def test_progress_takes_epochs_in_order_and_evenly_in_log(tmp_path):
    assert evenly_in_log([1, 2, 3]) == [0, 1, 2]
    chosen = evenly_in_log(range(1, 101))
    assert len(chosen) == 8
    assert chosen[0] == 0
    assert chosen[-1] == 99
    assert (np.diff(np.diff(chosen)) >= 0).all()
    snapshots = [(9, np.full((2, 1, 1), 1.0)), (0, np.full((2, 1, 1), 0.0))]
    levels = imread(report.progress(snapshots, tmp_path / "p.png"))[..., 0]
    assert levels[MARGIN + TITLE_HEIGHT + 40, MARGIN + 96 + 40] == 0
    assert levels[MARGIN + TITLE_HEIGHT + 126, MARGIN + 96 + 40] == 1


def test_grid_fills_line_by_line(tmp_path):
    images = np.linspace(0, 1, 5).reshape(5, 1, 1)
    levels = np.rint(imread(report.grid(images, tmp_path / "g.png", limits=(0.0, 1.0), columns=3))[..., 0] * 255)
    top = int(np.flatnonzero(levels[:, MARGIN + 40] == 0)[0])
    np.testing.assert_array_equal(levels[top + 40, MARGIN + 40 :: 86][:3], [0, 64, 128])
    np.testing.assert_array_equal(levels[top + 126, MARGIN + 40 :: 86][:2], [191, 255])


def test_readme_picture(tmp_path):
    model, rows = _case("digits")
    height, width = _size(report.readme_picture(model, rows, np.arange(40) % 10, tmp_path / "readme.png"))
    assert 550 < height < 700
    assert 1100 < width < 1400


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        report.loss_curves(HISTORY, tmp_path / "missing" / "loss.png")
    assert not list(tmp_path.iterdir())


def test_pyplot_is_never_loaded():
    program = (
        "import sys, tempfile, os; from varinf import report;"
        "path = os.path.join(tempfile.mkdtemp(), 'a.png');"
        "report.loss_curves({'elbo': [1.0, 2.0]}, path); report.write_pictures;"
        "assert 'matplotlib.figure' in sys.modules; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
