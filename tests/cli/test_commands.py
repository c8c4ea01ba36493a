"""The commands at work, from data to pictures, codes and figures."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from pyarrow import csv, parquet

import varinf as vi
from varinf.config import Settings, load_settings
from varinf.data import write_table

COMMANDS = ("fit", "evaluate", "predict", "sample", "reconstruct", "encode", "interpolate", "info", "data")
PICTURES = {"loss_curves.png", "codes.png", "reconstructions.png", "samples.png"}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def _no_pictures(monkeypatch):
    """Pictures are most of the time of a small fit."""
    monkeypatch.setattr("varinf.report.write_pictures", lambda *_, **__: [])


def run_files(run: Path) -> set[str]:
    return {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}


def figures(lines: list[str]) -> dict[str, float]:
    """What is printed, by name."""
    found = (re.match(r"\s*([a-zA-Z -]+?)\s+(-?\d+\.\d+)", line) for line in lines)
    return {match[1]: float(match[2]) for match in found if match}


# --- a run ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A run on the built-in digits, from the command line as a user has it."""
    folder = tmp_path_factory.mktemp("digits")
    script = "import sys; from varinf.cli import main; sys.exit(main())"
    arguments = ["fit", "--epochs", "3", "--latent-dim", "2", "--hidden", "16", "--out", "run"]
    done = subprocess.run([sys.executable, "-c", script, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # nothing but the lines: no bar, no blank line on the standard error
    assert done.stderr == ""
    return folder / "run", done.stdout.splitlines()


def test_the_run_directory(digits):
    run, said = digits
    files = run_files(run)
    assert {"settings.toml", "metrics.jsonl", "results.json", "model.json", "model.safetensors"} <= files
    assert {f"pictures/{name}" for name in PICTURES | {"manifold.png", "progress.png"}} <= files
    assert {"snapshots/epoch-000001.npy", "snapshots/epoch-000002.npy", "snapshots/epoch-000003.npy"} <= files
    assert "checkpoints/step-0000000069.json" in files
    assert not [name for name in files if ".tmp" in name]
    settings = load_settings(run / "settings.toml")
    assert (settings.data.source, settings.model.hidden, settings.train.epochs) == ("digits", (16,), 3)
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["steps"]) for line in metrics] == [(0, 23), (1, 46), (2, 69)]
    results = json.loads((run / "results.json").read_text())
    shown = figures(said)
    assert shown["elbo"] == pytest.approx(results["elbo"], abs=6e-4)
    assert shown["log-likelihood"] == pytest.approx(results["log_likelihood"], abs=6e-4)
    assert results["elbo"] == pytest.approx(results["reconstruction"] - results["kl"], abs=1e-4)
    # ln p(x) is above its bound, and an 8 × 8 datum has 64 dimensions
    assert results["elbo"] < results["log_likelihood"] < 0
    assert results["bits_per_dimension"] == pytest.approx(-results["elbo"] / 64 / np.log(2))
    assert any(line.startswith("chosen: likelihood bernoulli") for line in said)
    assert any(line.startswith("chosen: binarize dynamic") for line in said)
    assert said[-1].split() == ["run", "run"]


def test_evaluate_gives_the_figures_of_the_fit_again(varinf, digits):
    run, said = digits
    code, out, err = varinf("evaluate", run, "--num-samples", 1000)
    assert (code, err) == (0, [])
    first, again = figures(said), figures(out)
    assert again == {name: first[name] for name in again}
    assert {"elbo", "reconstruction", "KL", "bits per dimension", "log-likelihood"} == set(again)
    # with other draws the pixels are others
    other = figures(varinf("evaluate", run, "--num-samples", 50, "--seed", 3)[1])
    assert 0 < abs(other["elbo"] - again["elbo"]) < 0.5


def test_evaluate_other_rows(varinf, digits):
    np.save("some.npy", np.random.default_rng(0).integers(0, 17, (30, 8, 8), dtype=np.uint8))
    code, out, _ = varinf("evaluate", digits[0], "some.npy", "--num-samples", 20, "--max-rows", 10)
    assert code == 0
    assert "on 10 of 30 rows" in out[0]


def test_info(varinf, digits):
    code, out, err = varinf("info", digits[0])
    assert (code, err) == (0, [])
    text = "\n".join(out)
    assert 'source = "digits"' in text
    assert "3, 69 steps" in text
    assert figures(out)["log-likelihood"] == figures(digits[1])["log-likelihood"]
    assert text.count("pictures/") == 6


def test_sample(varinf, digits):
    run = digits[0]
    assert varinf("sample", run, "-n", 9, "--out", "s.png")[0] == 0
    with Image.open("s.png") as picture:
        assert min(picture.size) > 24
    assert varinf("sample", run, "-n", 9, "--out", "s.npy", "--seed", 4)[0] == 0
    model = vi.load(run / "model")
    np.testing.assert_array_equal(np.load("s.npy"), model.sample(9, key=jax.random.key(4)))
    assert set(np.unique(np.load("s.npy"))) <= {0, 1}
    assert varinf("sample", run, "-n", 9, "--out", "m.npy", "--mean")[0] == 0
    assert 0 < np.load("m.npy").min() < np.load("m.npy").max() < 1
    code, out, _ = varinf("sample", run)
    assert (code, out) == (0, [f"64 samples in {run}/samples.png"])
    assert (run / "samples.png").is_file()


def test_encode(varinf, digits):
    run = digits[0]
    assert varinf("encode", run, "digits", "--out", "codes.npy")[0] == 0
    source = vi.data.open("digits")
    q = vi.load(run / "model").encode(source.take(np.arange(len(source))))
    expected = np.stack([q.mean, np.sqrt(q.variance)], axis=1)
    # in blocks of rows of the one, and in one piece of the other
    np.testing.assert_allclose(np.load("codes.npy"), expected, rtol=1e-5, atol=1e-6)
    assert varinf("encode", run, "digits", "--out", "codes.parquet")[0] == 0
    table = parquet.read_table("codes.parquet").to_pydict()
    assert list(table) == ["mean_0", "mean_1", "std_0", "std_1", "label"]
    np.testing.assert_array_equal(table["std_1"], np.load("codes.npy")[:, 1, 1])
    np.testing.assert_array_equal(table["label"], source.labels)


def test_reconstruct(varinf, digits):
    run = digits[0]
    assert varinf("reconstruct", run, "digits", "-n", 7, "--out", "r.npy")[0] == 0
    rows = vi.data.open("digits").take(np.arange(7))
    np.testing.assert_allclose(np.load("r.npy"), vi.load(run / "model").reconstruct(rows), rtol=1e-5, atol=1e-6)
    assert varinf("reconstruct", run, "digits", "-n", 7)[0] == 0
    assert (run / "reconstructions.png").is_file()


def test_interpolate(varinf, digits):
    run = digits[0]
    assert varinf("interpolate", run, "digits", 3, 8, "--steps", 5, "--out", "i.npy")[0] == 0
    images = np.load("i.npy")
    assert images.shape == (5, 8, 8)
    ends = vi.load(run / "model").reconstruct(vi.data.open("digits").take(np.array([3, 8])))
    np.testing.assert_allclose(images[[0, -1]], ends, rtol=1e-5, atol=1e-6)
    assert varinf("interpolate", run, "digits", 3, 8)[0] == 0
    assert (run / "interpolation.png").is_file()


def test_data(varinf):
    code, out, err = varinf("data")
    assert (code, err) == (0, [])
    assert [line for line in out if line in ("digits", "mnist", "fashion-mnist")] == [
        "digits",
        "fashion-mnist",
        "mnist",
    ]


@pytest.mark.usefixtures("_no_pictures")
def test_the_settings_of_a_run_make_it_again(varinf, finished):
    assert varinf("fit", "--settings", finished / "settings.toml", "--out", "again")[0] == 0
    for name in ("settings.toml", "model.safetensors", "metrics.jsonl"):
        assert Path("again", name).read_bytes() == (finished / name).read_bytes()
    # an option goes before them
    assert varinf("fit", "--settings", "again/settings.toml", "--seed", 5, "--out", "other")[0] == 0
    assert load_settings(Path("other/settings.toml")).train.seed == 5
    assert Path("other/model.safetensors").read_bytes() != (finished / "model.safetensors").read_bytes()


@pytest.mark.usefixtures("_no_pictures")
def test_overwrite_replaces_a_run(varinf, finished):
    settings = finished / "settings.toml"
    assert varinf("fit", "--settings", settings, "--seed", 5, "--out", finished, "--overwrite")[0] == 0
    assert load_settings(settings).train.seed == 5
    assert not (finished / "pictures/samples.png").exists()
    assert not list(Path().glob(".*"))


@pytest.mark.usefixtures("_no_pictures")
def test_runs_are_named_after_their_data_and_the_time(varinf, images, tiny):
    np.save("my photos.npy", images)
    code, out, _ = varinf("fit", "my photos.npy", *tiny)
    assert code == 0
    (run,) = Path("runs").iterdir()
    assert re.fullmatch(r"my photos-\d{8}-\d{6}", run.name)
    assert out[-1].endswith(str(run))
    # from anywhere
    assert load_settings(run / "settings.toml").data.source == str(Path("my photos.npy").absolute())


def test_a_second_fit_does_not_compile_again(varinf, finished, compilations):
    settings = finished / "settings.toml"
    assert varinf("fit", "--settings", settings, "--out", "first")[0] == 0
    before = len(compilations)
    assert varinf("fit", "--settings", settings, "--out", "second", "--seed", 3, "--learning-rate", "0.01")[0] == 0
    assert compilations[before:] == []


# --- data ----------------------------------------------------------------------------------------------------------


def test_columns_of_very_different_scales(varinf, tiny):
    rng = np.random.default_rng(0)
    factor = rng.normal(size=200)
    columns = {"small": 1e-6 * (factor + 0.1 * rng.normal(size=200)), "large": 1e6 * (5 + factor)}
    write_table(Path("t.csv"), columns.items())
    write_table(Path("t.parquet"), [("kind", np.arange(200) % 3), *columns.items()])
    for name, label in (("t.csv", ()), ("t.parquet", ("--label", "kind"))):
        options = (*tiny, "--epochs", 120, "--learning-rate", 0.01, *label)
        code, out, err = varinf("fit", name, *options, "--out", f"run-{name}")
        assert (code, err) == (0, [])
    # The density is in the user's units. ln 1e-6 and ln 1e6 cancel; two standard normals that knew nothing of each
    # other would have −2.84 nats, these with a correlation of 0.995 have −0.53.
    assert -2.5 < figures(out)["elbo"] < -0.4
    # labels are never used in fitting, but seen in the pictures
    assert Path("run-t.csv/model.safetensors").read_bytes() == Path("run-t.parquet/model.safetensors").read_bytes()
    codes = Path("run-t.csv/pictures/codes.png"), Path("run-t.parquet/pictures/codes.png")
    assert codes[0].read_bytes() != codes[1].read_bytes()
    assert {path.name for path in Path("run-t.csv/pictures").iterdir()} == PICTURES
    assert varinf("sample", "run-t.csv", "-n", 50, "--out", "new.csv")[0] == 0
    new = csv.read_csv("new.csv").to_pydict()
    assert list(new) == ["small", "large"]
    assert 1e-7 < np.std(new["small"]) < 1e-5
    assert 3e6 < np.mean(new["large"]) < 7e6
    assert varinf("reconstruct", "run-t.csv", "t.csv", "--out", "r.parquet")[0] == 0
    assert parquet.read_table("r.parquet").num_rows == 200
    for name, labels in (("t.csv", []), ("t.parquet", ["label"])):
        # rows to encode need no labels
        assert varinf("encode", "run-t.parquet", name, "--out", "c.parquet")[0] == 0
        assert parquet.read_table("c.parquet").column_names[4:] == labels
    assert varinf("interpolate", "run-t.csv", "t.csv", 0, 1)[0] == 0
    assert csv.read_csv("run-t.csv/interpolation.csv").num_rows == 10


@pytest.mark.usefixtures("_no_pictures")
def test_an_array_of_an_archive(varinf, images, tiny):
    np.savez("x.npz", first=images, second=images[:, :4])
    np.save("second.npy", images[:, :4])
    assert varinf("fit", "x.npz", "--array", "second", *tiny, "--out", "run")[0] == 0
    assert varinf("encode", "run", "x.npz", "--out", "a.npy")[0] == 0
    assert varinf("encode", "run", "second.npy", "--out", "b.npy")[0] == 0
    np.savez("y.npz", third=images[:, :4], fourth=images)
    assert varinf("encode", "run", "y.npz", "--array", "third", "--out", "c.npy")[0] == 0
    np.testing.assert_array_equal(np.load("a.npy"), np.load("b.npy"))
    np.testing.assert_array_equal(np.load("a.npy"), np.load("c.npy"))


@pytest.mark.usefixtures("_no_pictures")
def test_a_folder_of_images_resized_with_rows_to_hold_out(varinf, images, tiny):
    for name, some in (("photos", images[:30]), ("others", images[30:])):
        Path(name).mkdir()
        for i, image in enumerate(some):
            Image.fromarray(image[..., None] // np.array([1, 2, 3], np.uint8)).save(f"{name}/{i:02}.png")
    code, out, _ = varinf("fit", "photos", "--test", "others", "--resize", "4x3", *tiny, "--out", "run")
    assert code == 0
    assert any("discretized_logistic" in line for line in out)
    assert "10 held-out rows" in "\n".join(out)
    assert varinf("sample", "run", "--out", "s.npy", "-n", 2)[0] == 0
    assert np.load("s.npy").shape == (2, 4, 3, 3)
    # new images are brought to the same size
    assert varinf("encode", "run", "others", "--out", "c.npy")[0] == 0
    assert np.load("c.npy").shape == (10, 2, 2)


def test_labels_are_never_used_in_fitting(varinf, images, tiny):
    np.savez("with.npz", x=images, y=np.arange(len(images)) % 3)
    np.savez("without.npz", x=images)
    for name in ("with", "without"):
        assert varinf("fit", f"{name}.npz", *tiny, "--out", name)[0] == 0
    for name in ("model.safetensors", "metrics.jsonl"):
        assert Path("with", name).read_bytes() == Path("without", name).read_bytes()
    # but seen in the pictures
    assert Path("with/pictures/codes.png").read_bytes() != Path("without/pictures/codes.png").read_bytes()


GREY = np.random.default_rng(2).integers(0, 256, (40, 5, 4), dtype=np.uint8)
SCHEDULED = ("--optimizer", "rmsprop", "--schedule", "cosine", "--warmup-epochs", "1", "--clip-norm", "1")
WEIGHED = ("--beta", "4", "--beta-warmup", "1", "--free-bits", "0.1", "--kl", "analytic")
IWAE = ("--objective", "iwae", "--num-samples", "3")
# every name and way that there is, several in a fit, since fits are compiled one by one
OPTIONS = {
    "threshold": (GREY, ["--binarize", "threshold", *SCHEDULED]),
    "soft targets": (GREY, ["--binarize", "none", *WEIGHED]),
    "iwae": (GREY // 128, ["--likelihood", "bernoulli", *IWAE]),
    "dreg": (GREY // 64, ["--likelihood", "poisson", *IWAE, "--estimator", "dreg"]),
    "renyi": (GREY // 128, ["--likelihood", "bernoulli", "--objective", "renyi", "--alpha", "-0.5"]),
    "stl": (GREY, ["--likelihood", "continuous_bernoulli", "--estimator", "stl", "--num-samples", "2"]),
    "logistic, conv": (
        GREY,
        ["--likelihood", "discretized_logistic", "--network", "conv", "--hidden", "2", "--activation", "tanh"],
    ),
    "categorical, linear": (GREY // 64, ["--likelihood", "categorical", "--hidden", "", "--held-out", "0.5"]),
    "gaussian, full rank": (GREY / 255, ["--variance", "per_dimension", "--posterior", "full_rank"]),
    "gaussian, known": (GREY / 255, ["--variance", "0.1", "--precision", "bfloat16", "--batch-size", "7"]),
    "table": (
        GREY[:, 0] / 255,
        ["--variance", "shared", "--kl", "monte_carlo", "--patience", "1", "--posterior", "flow"],
    ),
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.usefixtures("_no_pictures")
def test_options(varinf, tiny, name):
    x, options = OPTIONS[name]
    np.save("x.npy", x)
    code, out, err = varinf("fit", "x.npy", *tiny, *options, "--out", "run")
    assert (code, err) == (0, [])
    results = json.loads(Path("run/results.json").read_text())
    assert np.isfinite([results[figure] for figure in ("elbo", "reconstruction", "kl", "log_likelihood")]).all()
    assert results["steps"] > 2
    # said where it is so, and only there
    assert ("these numbers are no log-likelihoods" in "\n".join(out)) == (name == "soft targets")
    # of the KL that is shown, whatever the loss was made of
    assert ("by Monte Carlo" in "\n".join(out)) == (name == "table")
    assert [line for line in out if line.startswith(("KL ", "beta", "free bits"))] == [
        "KL                 weighted by 4 in the loss (tempered), by 1 in the elbo",
        "beta warm-up       the KL's weight in the loss rises from 0 over the first 1 epochs",
        "free bits          a part of a code's KL below 0.1 nats counts as that in the loss",
    ] * (name == "soft targets")


# --- help ----------------------------------------------------------------------------------------------------------


def help_page(monkeypatch, varinf, *arguments, columns=100):
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, err = varinf(*arguments)
    assert (code, err) == (0, [])
    return out


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help(monkeypatch, varinf, command, columns):
    page = help_page(monkeypatch, varinf, *([command] if command else []), "--help", columns=columns)
    assert page[0].startswith(f"Usage: varinf {command or '[OPTIONS] COMMAND'}")
    assert max(map(len, page)) <= columns
    assert len(page) > 5


def test_no_command_asks_for_help(monkeypatch, varinf):
    assert help_page(monkeypatch, varinf) == help_page(monkeypatch, varinf, "--help")


def test_every_option_of_fit_says_its_default(monkeypatch, varinf):
    page = re.sub(r"\s+", " ", " ".join(help_page(monkeypatch, varinf, "fit", "--help")))
    shown = dict(re.findall(r"--([a-z-]+) [A-Z][A-Zx|,.]* (?:(?! --[a-z-]+ [A-Z]).)*?\[default: (.*?)\]", page))
    sections = Settings().model_dump()
    defaults = {name: value for section in sections.values() for name, value in section.items()}
    options = {name.replace("_", "-") for name in defaults} - {"source"}
    assert options <= set(shown), options - set(shown)
    for name, value in defaults.items():
        if value is not None and name != "source":
            assert shown[name.replace("_", "-")] == f"{value:g}" if isinstance(value, float) else str(value), name


def test_help_loads_nothing_slow():
    script = (
        "import sys; from varinf.cli import main; code = main(['fit', '--help']) or main(['--help']); "
        "slow = {'jax', 'numpy', 'rich', 'matplotlib', 'sklearn', 'pyarrow'} & set(sys.modules); "
        "print(slow, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "set()\n")


def test_settings_are_on_disk_before_jax_is_loaded(images, tiny):
    np.save("x.npy", images)
    script = (
        "import sys, varinf.run; create = varinf.run.Run.create\n"
        "def made(*a, **k):\n"
        "    run = create(*a, **k); print({'jax', 'numpyro', 'matplotlib'} & set(sys.modules)); sys.exit(0)\n"
        "varinf.run.Run.create = made\n"
        "from varinf.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", script, "fit", "x.npy", *tiny], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")
    assert len(list(Path("runs").glob("*/settings.toml"))) == 1
