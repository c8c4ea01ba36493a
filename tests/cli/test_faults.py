"""Whatever is wrong with what was asked or given: one line, exit code 2, and nothing left behind."""

import gc
import gzip
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from varinf import job
from varinf.cli import main
from varinf.errors import InputError
from varinf.run import Run


def listing(folder: Path) -> dict[str, bytes | None]:
    """All that is in a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def assert_fault(result, phrase: str) -> None:
    code, _, err = result
    assert code == 2, err
    assert len(err) == 1, err
    assert err[0].startswith("varinf: ")
    assert phrase in err[0], err[0]


def nothing():
    pass


def png(path: Path, height: int = 6, width: int = 6, grey: int = 100) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.arange(height * width, dtype=np.uint8).reshape(height, width) + grey % 100).save(path)


def folder_of_images(count: int = 5):
    for i in range(count):
        png(Path(f"photos/{i}.png"))


def not_an_image():
    folder_of_images()
    Path("photos/3.png").write_text("not an image")


def truncated_png():
    folder_of_images()
    noise = np.random.default_rng(0).integers(0, 256, (6, 6), dtype=np.uint8)
    Image.fromarray(noise).save("photos/3.png")
    whole = Path("photos/3.png").read_bytes()
    Path("photos/3.png").write_bytes(whole[: len(whole) - 30])


def unequal_images():
    folder_of_images()
    png(Path("photos/3.png"), 6, 7)


def save(array, name="x.npy"):
    return lambda: np.save(name, array)


def savez(name="x.npz", **arrays):
    return lambda: np.savez(name, **arrays)


def text(content, name="x.csv"):
    return lambda: Path(name).write_text(content)


def idx(magic=b"\0\0\x08\x03", dims=(3, 2, 2), data=b"\0" * 12, name="x-idx3-ubyte"):
    content = magic + struct.pack(f">{len(dims)}I", *dims) + data
    return lambda: Path(name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)


def objects():
    np.save("x.npy", np.array([{"a": 1}, None], dtype=object), allow_pickle=True)


def with_nan():
    rows = np.random.default_rng(0).normal(size=(30, 3))
    rows[7, 1] = np.nan
    rows[20, 0] = np.inf
    rows[21, 2] = -np.inf
    np.save("x.npy", rows)


RNG = np.random.default_rng(1)
TABLE = RNG.normal(size=(30, 3))
GREY = RNG.integers(0, 256, (30, 4, 4), dtype=np.uint8)
HEADER = "a,b\n"
CSV = HEADER + "".join(f"{i},{i * i % 7}\n" for i in range(30))

# what is made, what is asked, and what the line must say
DATA = {
    "missing path": (nothing, ["nowhere.npy"], "no such file or folder: nowhere.npy"),
    "a known name misspelt": (nothing, ["digit"], "did you mean 'digits'?"),
    "missing test rows": (save(TABLE), ["x.npy", "--test", "nowhere"], "no such file or folder: nowhere"),
    "no such home": (nothing, ["~nobody-of-that-name/x"], "home directory"),
    "a name too long": (nothing, ["x" * 5000], "name too long"),
    "no UTF-8": (lambda: Path("x\udcff.npy").touch(), ["x\udcff.npy"], "UTF-8"),
    "empty folder": (lambda: Path("photos").mkdir(), ["photos"], "expected PNG or JPEG images, got none"),
    "no image": (not_an_image, ["photos"], "3.png"),
    "truncated PNG": (truncated_png, ["photos"], "3.png"),
    "unequal sizes": (unequal_images, ["photos"], "--resize"),
    "a single image": (folder_of_images, ["photos/3.png"], "single image"),
    "an empty file": (text("", "x.npy"), ["x.npy"], "x.npy"),
    "a file of another kind": (text("hello", "x.txt"), ["x.txt"], "got a file of another kind"),
    "a device": (nothing, ["/dev/null"], "got a device"),
    "IDX: magic": (idx(magic=b"\0\1\x08\x03"), ["x-idx3-ubyte"], "magic number"),
    "IDX: length": (idx(data=b"\0" * 11), ["x-idx3-ubyte"], "expected 12 bytes of data by its header"),
    "IDX: length, gzipped": (idx(data=b"\0" * 13, name="x-idx3-ubyte.gz"), ["x-idx3-ubyte.gz"], "expected 12 bytes"),
    "IDX: overflow": (idx(dims=(2**32 - 1,) * 3), ["x-idx3-ubyte"], "overflow"),
    "npz: several": (savez(a=TABLE, b=TABLE), ["x.npz"], "several arrays: a, b; name one"),
    "npz: unknown": (savez(first=TABLE, b=TABLE), ["x.npz", "--array", "fist"], "Did you mean 'first'?"),
    "array of a npy": (save(TABLE), ["x.npy", "--array", "a"], "array is for .npz files"),
    "objects": (objects, ["x.npy"], "never unpickled"),
    "npy cut short": (lambda: Path("x.npy").write_bytes(b"\x93NUMPY\1\0"), ["x.npy"], "x.npy"),
    "NaN": (with_nan, ["x.npy"], "got 3 values that are NaN or infinite, the first (nan) in row 7"),
    "NaN in given test rows": (
        lambda: (with_nan(), np.save("y.npy", TABLE)),
        ["y.npy", "--test", "x.npy"],
        "x.npy: expected finite numbers, got 3 values",
    ),
    "words": (save(np.array(["a", "b"])), ["x.npy"], "expected real numbers"),
    "a single number": (save(np.array(3.0)), ["x.npy"], "got a single number"),
    "one dimension": (save(np.arange(9.0)), ["x.npy"], "rank"),
    "channels first": (save(np.zeros((9, 3, 8, 8), np.uint8)), ["x.npy"], "channels first"),
    "no rows": (save(np.zeros((0, 3))), ["x.npy"], "at least one row"),
    "one row": (save(TABLE[:1]), ["x.npy"], "expected two rows or more"),
    "two rows": (save(TABLE[:2]), ["x.npy"], "to hold out, got 0.2; take another, such as --held-out 0.5"),
    "a share beside test rows": (save(TABLE), ["x.npy", "--test", "x.npy", "--held-out", "0.3"], "--held-out is the"),
    "numbers too large": (save(1e300 * TABLE), ["x.npy"], "rescale them"),
    "an outlier of the support": (
        save(np.append(TABLE % 1, [[9, 0, 0]], 0)),
        ["x.npy", "--likelihood", "bernoulli"],
        "binarize",
    ),
    "a batch too large": (save(TABLE), ["x.npy", "--batch-size", "25"], "from 1 to the number of rows, 24, got 25"),
    "test rows of another shape": (
        lambda: (np.save("x.npy", TABLE), np.save("y.npy", TABLE[:, :2])),
        ["x.npy", "--test", "y.npy"],
        "expected rows of shape (3,), as the model was fitted to, got (2,)",
    ),
    "text in CSV": (text("a,b\n1,red\n2,blue\n"), ["x.csv"], "got string in column 'b'"),
    "no such column": (text(CSV), ["x.csv", "--label", "c"], "unknown column"),
    "ragged CSV": (text("a,b\n1,2\n3\n"), ["x.csv"], "x.csv"),
    "empty cells": (text(CSV + "3,\n"), ["x.csv"], "got 1 value that is NaN or infinite, the first (nan) in row 30"),
    "test rows with other columns": (
        lambda: (Path("x.csv").write_text(CSV), Path("y.csv").write_text(CSV.replace("a,b", "b,a"))),
        ["x.csv", "--test", "y.csv"],
        "column 0 should be 'a', got 'b'",
    ),
    "no Parquet": (text("PAR1 and no more", "x.parquet"), ["x.parquet"], "Parquet"),
    "resize of an array": (save(GREY), ["x.npy", "--resize", "3"], "resize is for folders of images"),
    "conv on a table": (save(TABLE), ["x.npy", "--network", "conv"], "rank"),
}
SUPPORT = {
    "bernoulli on reals": (save(TABLE), "bernoulli", "expected zeros and ones"),
    "bernoulli beyond white": (save(GREY.astype(float)), "bernoulli", "expected zeros and ones"),
    "continuous bernoulli": (save(TABLE), "continuous_bernoulli", "expected values in [0, 1]"),
    "categorical": (save(TABLE), "categorical", "categorical"),
    "poisson on fractions": (save(np.abs(TABLE)), "poisson", "got fractions"),
    "poisson below zero": (save(np.round(TABLE * 9)), "poisson", "expected whole numbers from 0"),
    "discretized logistic": (save(TABLE), "discretized_logistic", "got fractions"),
}
OPTIONS = {
    "unknown option": (["--latentdim", "2"], "--latent-dim"),
    "unknown option without a near one": (["--frobnicate"], "no such option: --frobnicate"),
    "no value": (["--epochs"], "'--epochs' requires an argument"),
    "no number": (["--epochs", "many"], "'--epochs'"),
    "no epochs": (["--epochs", "0"], "--epochs: expected a number greater than or equal to 1, got 0"),
    "a negative rate": (["--learning-rate", "-1"], "--learning-rate: expected a number greater than 0, got -1"),
    "an infinite rate": (["--learning-rate", "inf"], "--learning-rate: expected a finite number"),
    "beta of no number": (["--beta", "nan"], "--beta: expected a finite number"),
    "all held out": (["--held-out", "1"], "--held-out: expected a number less than 1"),
    "latent": (["--latent-dim", "0"], "--latent-dim"),
    "sizes": (["--hidden", "20,x"], "--hidden: expected sizes such as 200,200, got '20,x'"),
    "a size left out": (["--hidden", "20,,4"], "--hidden: expected sizes such as 200,200, got '20,,4'"),
    "a size of none": (["--hidden", "20,0"], "--hidden: expected a number greater than or equal to 1"),
    "pixels": (["--resize", "big"], "--resize: expected a number of pixels"),
    "network": (["--network", "cnov"], "--network: unknown network 'cnov'; known: mlp, conv. Did you mean 'conv'?"),
    "activation": (["--activation", "rleu"], "Did you mean 'relu'?"),
    "likelihood": (["--likelihood", "gausian"], "Did you mean 'gaussian'?"),
    "posterior": (["--posterior", "meanfield"], "Did you mean 'mean_field'?"),
    "binarize": (["--binarize", "dynamical"], "Did you mean 'dynamic'?"),
    "variance": (["--variance", "share"], "Did you mean 'shared'?"),
    "a negative variance": (["--variance", "-1"], "--variance: expected a positive number, got -1"),
    "precision": (["--precision", "float16"], "Did you mean 'bfloat16'?"),
    "objective": (["--objective", "elob"], "Did you mean 'elbo'?"),
    "kl": (["--kl", "exact"], "known: auto, analytic, monte_carlo"),
    "estimator": (["--estimator", "reparm"], "Did you mean 'reparam'?"),
    "dreg of the elbo": (["--estimator", "dreg"], "unknown estimator of the ELBO 'dreg'"),
    "a KL that has no closed form": (["--posterior", "flow", "--kl", "analytic"], "for the KL of z; use kl='auto'"),
    "beta of the iwae": (["--objective", "iwae", "--beta", "2"], "--beta is for the elbo"),
    "warm-up of the iwae": (["--objective", "iwae", "--beta-warmup", "2"], "--beta-warmup is for the elbo"),
    "stl of the renyi": (["--objective", "renyi", "--estimator", "stl"], "--estimator is for the elbo or iwae, and"),
    "alpha of the elbo": (["--alpha", "0"], "--alpha is for the renyi, and the objective is elbo; leave it out"),
    "optimizer": (["--optimizer", "adm"], "Did you mean 'adam'?"),
    "schedule": (["--schedule", "cosin"], "Did you mean 'cosine'?"),
    "seed": (["--seed", "-1"], "--seed"),
    "a posterior of the rows fitted": (["--posterior", "per_datum"], "knows only the rows that it is fitted to"),
    "binarize a gaussian": (["--likelihood", "gaussian", "--binarize", "dynamic"], "--binarize is for a bernoulli"),
    "variance of a bernoulli": (["--variance", "shared"], "--variance is for a gaussian"),
    "two data": (["digits"], "unexpected extra argument"),
}
SETTINGS = {
    "a missing file": (None, "no such settings file: my.toml"),
    "no TOML": ("[train\n", "expected settings as TOML"),
    "no UTF-8": ("\udcff", "expected settings as TOML"),
    "a section": ("[training]\nepochs = 3\n", "Did you mean 'train'?"),
    "a key": ("[train]\nepoch = 3\n", "unknown setting in [train] of my.toml 'epoch'"),
    "the nearest key": ("[train]\nepoch = 3\n", "Did you mean 'epochs'?"),
    "a key without a section": ("epochs = 3\n", "unknown section in my.toml 'epochs'"),
    "a section that is none": ("train = 3\n", "expected [train] to be a section"),
    "a value": ("[train]\nepochs = -3\n", "setting epochs: expected a number greater than or equal to 1, got -3"),
    "a kind of value": ("[model]\nhidden = 'x'\n", "setting hidden: "),
    "a name": ("[model]\nlikelihood = 'gaussia'\n", "Did you mean 'gaussian'?"),
}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", DATA)
def test_data(varinf, tmp_path, name):
    make, arguments, phrase = DATA[name]
    make()
    before = listing(tmp_path)
    # in the default place, whose folder goes again, and in one of one's own
    assert_fault(varinf("fit", *arguments), phrase)
    assert_fault(varinf("fit", *arguments, "--out", "a/b/run"), phrase)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("name", SUPPORT)
def test_support(varinf, tmp_path, name):
    make, likelihood, phrase = SUPPORT[name]
    make()
    before = listing(tmp_path)
    assert_fault(varinf("fit", "x.npy", "--likelihood", likelihood), phrase)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("name", OPTIONS)
def test_options(varinf, tmp_path, name):
    arguments, phrase = OPTIONS[name]
    np.save("x.npy", GREY)
    before = listing(tmp_path)
    assert_fault(varinf("fit", "x.npy", *arguments), phrase)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(varinf, tmp_path, name):
    content, phrase = SETTINGS[name]
    if content is not None:
        Path("my.toml").write_bytes(content.encode(errors="surrogateescape"))
    before = listing(tmp_path)
    assert_fault(varinf("fit", "--settings", "my.toml"), phrase)
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        (["fitt"], "Did you mean 'fit'?"),
        (["evaluate"], "missing argument 'RUN'"),
        (["encode", "run", "digits"], "missing option '--out'"),
        (["info", "nowhere"], "no such run: nowhere"),
        (["fit", "--resume", "nowhere"], "no such run: nowhere"),
        (["fit", "--seed", "4294967296"], "--seed: expected a number less than or equal to 4294967295, got 4294967296"),
        (["evaluate", "run", "--seed", "4294967296"], "4294967295"),
        (["sample", "run", "--seed", "4294967296"], "4294967295"),
        (["predict", "run", "x.csv", "--out", "p.csv", "--seed", "4294967296"], "4294967295"),
        (["sample", "run", "-n", "0"], "'-n' / '--num': "),
        (["fit", "--resume", "run", "--epochs", "3"], "leave out DATA and the other options"),
        (["fit", "--resume", "run", "--out", "new"], "leave out DATA and the other options"),
    ],
)
def test_commands(varinf, tmp_path, arguments, phrase):
    assert_fault(varinf(*arguments), phrase)
    assert listing(tmp_path) == {}


USES = {
    "evaluate": ["evaluate", "run"],
    "sample": ["sample", "run"],
    "reconstruct": ["reconstruct", "run", "images.npy"],
    "encode": ["encode", "run", "images.npy", "--out", "codes.npy"],
    "interpolate": ["interpolate", "run", "images.npy", "0", "1"],
}


@pytest.mark.parametrize("command", USES)
def test_a_run_without_a_model_yet(varinf, finished, command):
    (finished / "results.json").unlink()
    before = listing(finished.parent)
    assert_fault(varinf(*USES[command]), "run is not finished; go on with: varinf fit --resume run")
    assert listing(finished.parent) == before


@pytest.mark.parametrize("command", USES)
def test_a_model_with_a_flipped_byte(varinf, finished, command):
    path = finished / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    fault = varinf(*USES[command])
    assert_fault(fault, "model.safetensors or model.json is damaged: their checksum differs")
    assert fault[2][0].endswith("; varinf fit --resume run makes it anew")


def test_a_model_of_a_newer_version(varinf, finished):
    path = finished / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    assert_fault(varinf("sample", "run"), "written by a newer varinf")


def test_a_missing_model(varinf, finished):
    (finished / "model.json").unlink()
    assert_fault(varinf("sample", "run"), "no such file: run/model.json")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((name, "{no JSON\n") for name in ("results.json", "metrics.jsonl", "settings.toml")),
        ("results.json", "{}\n"),
        ("metrics.jsonl", "{}\n"),
        ("settings.toml", ""),
    ],
)
def test_damaged_files_of_a_run(varinf, finished, name, content):
    (finished / name).write_text(content)
    assert_fault(varinf("info", "run"), name)
    if name != "metrics.jsonl":
        assert_fault(varinf("evaluate", "run"), name)
        assert_fault(varinf("fit", "--resume", "run"), name)


@pytest.mark.parametrize("name", ["settings.toml", "model.json", "results.json"])
def test_folders_where_files_should_be(varinf, finished, name):
    (finished / name).unlink()
    (finished / name).mkdir()
    assert varinf("sample", "run")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        (["encode", "run", "other.npy", "--out", "c.npy"], "expected rows of shape (6, 5), as the model was fitted to"),
        (["encode", "run", "table.npy", "--out", "c.npy"], "expected rows of shape (6, 5), as the model was fitted to"),
        (["encode", "run", "images.npy", "--out", "c.csv"], "expected a name that ends in .npy or .parquet"),
        (["encode", "run", "images.npy", "--out", "no/c.npy"], "there is no folder no"),
        (["encode", "run", "images.npy", "--out", "run"], "expected the name of a file, got the folder run"),
        (["encode", "run", "several.npz", "--out", "c.npy"], "several arrays: a, b; name one"),
        (["encode", "run", "grey.npy", "--out", "c.npy"], "expected pixels in [0, 255]"),
        (["encode", "run", "nan.npy", "--out", "c.npy"], "got 2 values that are NaN or infinite"),
        (["evaluate", "run", "other.npy"], "expected rows of shape (6, 5)"),
        (["sample", "run", "--out", "s.csv"], "expected a name that ends in .png or .npy"),
        (["sample", "run", "--out", "s.jpg"], "expected a name that ends in .png or .npy"),
        (["interpolate", "run", "images.npy", "0", "40"], "expected row numbers from 0 to 39, got 40"),
        (["interpolate", "run", "images.npy", "-1", "4"], "-1"),
    ],
)
def test_uses_that_cannot_be(varinf, finished, images, arguments, phrase):
    np.save("other.npy", images[:, :5])
    np.save("table.npy", TABLE)
    np.savez("several.npz", a=images, b=images)
    np.save("grey.npy", images * 2.0)
    nan = images.astype(float)
    nan[3, 0, 0] = nan[9, 1, 1] = np.nan
    np.save("nan.npy", nan)
    before = listing(finished.parent)
    assert_fault(varinf(*arguments), phrase)
    assert listing(finished.parent) == before


def test_an_existing_run(varinf, finished):
    before = listing(finished.parent)
    fault = varinf("fit", "images.npy", "--out", "run")
    assert_fault(fault, "run exists; go on with it by --resume run, replace it with --overwrite, or take another --out")
    # and whatever else is there, also with --overwrite
    Path("mine").mkdir()
    Path("mine/letter.txt").write_text("dear")
    assert_fault(varinf("fit", "images.npy", "--out", "mine"), "not a run of varinf's")
    assert_fault(varinf("fit", "images.npy", "--out", "mine", "--overwrite"), "not a run of varinf's")
    assert_fault(varinf("fit", "images.npy", "--out", "images.npy", "--overwrite"), "not a run of varinf's")
    shutil.rmtree("mine")
    assert listing(finished.parent) == before


def test_a_fault_restores_the_run_that_was_to_be_replaced(varinf, finished):
    before = listing(finished.parent)
    fault = varinf("fit", "images.npy", "--out", "run", "--overwrite", "--batch-size", "1000")
    assert_fault(fault, "batch_size")
    assert listing(finished.parent) == before


def test_resume_of_no_run(varinf, finished):
    (finished / "settings.toml").unlink()
    assert_fault(varinf("fit", "--resume", "run"), "run is not a run of varinf's: it has no settings.toml")


def test_resume_when_the_data_are_gone_or_others(varinf, finished, images):
    (finished / "results.json").unlink()
    np.save("images.npy", 255 - images)
    assert_fault(varinf("fit", "--resume", "run"), "of another fit: its data differed")
    Path("images.npy").unlink()
    assert_fault(varinf("fit", "--resume", "run"), "no such file or folder")


def test_held_out_rows_of_data_that_changed_are_not_evaluated_on(varinf, finished, images, monkeypatch):
    monkeypatch.setattr("varinf.job._figures._evaluation", lambda _kind, _model, rows, *_, **__: len(rows))
    assert job.evaluation(Run.open(finished), None) == 8
    for changed in (np.concatenate([images, images[:5]]), 255 - images):
        np.save("images.npy", changed)
        fault = varinf("evaluate", "run")
        assert_fault(fault, "images.npy: expected the 8 rows that the run held out, got ")
        assert fault[2][0].endswith("name rows that were not trained on: varinf evaluate run DATA")
    # by name all rows will do, and so will those of a run that kept no fingerprint
    assert job.evaluation(Run.open(finished), None, "images.npy") == 40
    results = json.loads((finished / "results.json").read_text())
    del results["fingerprint"]
    (finished / "results.json").write_text(json.dumps(results))
    assert job.evaluation(Run.open(finished), None) == 8


def test_resume_of_a_finished_run_says_its_figures(varinf, finished):
    before = listing(finished.parent)
    code, out, err = varinf("fit", "--resume", "run")
    assert (code, err) == (0, [])
    assert "ended already" in out[-1]
    assert listing(finished.parent) == before


@pytest.mark.filterwarnings("default")
def test_a_damaged_model_is_made_anew_from_the_checkpoints(varinf, finished, monkeypatch):
    monkeypatch.setattr("varinf.cli._session._draw", lambda *_: None)
    path = finished / "model.safetensors"
    model = path.read_bytes()
    path.write_bytes(model[:-1])
    code, out, err = varinf("fit", "--resume", "run")
    assert (code, len(err)) == (0, 1)
    assert err[0].endswith("is damaged: their checksum differs from the one kept; it is made anew")
    assert "ended already" not in out[-1]
    assert path.read_bytes() == model


@pytest.mark.filterwarnings("default")
def test_damaged_checkpoints_are_passed_over_with_a_warning(varinf, finished):
    model = (finished / "model.safetensors").read_bytes()
    for path in finished.glob("checkpoints/*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    for name in ("results.json", "model.json", "model.safetensors"):
        (finished / name).unlink()
    code, _, err = varinf("fit", "--resume", "run")
    assert code == 0
    assert err
    assert all(line.startswith("varinf: warning: run/checkpoints/step-") for line in err)
    assert (finished / "model.safetensors").read_bytes() == model


@pytest.mark.parametrize("out", ["/proc/run", "/dev/full/run", "/dev/full", "x.npy/run"])
def test_no_place_for_a_run(varinf, tmp_path, out):
    np.save("x.npy", GREY)
    assert_fault(varinf("fit", "x.npy", "--out", out), out)
    assert sorted(listing(tmp_path)) == ["x.npy"]


def test_a_device_is_written_to_and_not_replaced(varinf, finished):
    link = Path("full.npy")
    link.symlink_to("/dev/full")
    assert_fault(varinf("sample", "run", "--out", "full.npy"), "full.npy: No space left on device")
    assert Path("/dev/full").is_char_device()
    assert link.is_symlink()


@contextmanager
def at_most(size: int):
    """No file may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 200])
def test_a_disk_that_is_full_from_the_start(varinf, tmp_path, size):
    np.save("x.npy", GREY)
    with at_most(size):
        result = varinf("fit", "x.npy", "--out", "run")
    assert_fault(result, "run")
    assert sorted(listing(tmp_path)) == ["x.npy"]


def test_a_full_disk_leaves_an_output_as_it_was(varinf, finished):
    Path("s.npy").write_bytes(b"before")
    with at_most(1000):
        result = varinf("sample", "run", "--out", "s.npy")
    assert_fault(result, "s.npy: File too large")
    assert Path("s.npy").read_bytes() == b"before"
    assert not list(Path().glob(".*"))


def test_a_fit_that_diverges(varinf, tiny, monkeypatch):
    np.save("x.npy", TABLE * 100)
    arguments = ["fit", "x.npy", *tiny, "--optimizer", "sgd", "--learning-rate", "1e30", "--epochs", "20"]
    fault = varinf(*arguments, "--out", "early")
    assert_fault(fault, "at step")
    assert "lower the learning rate" in fault[2][0]
    assert not Path("early").exists()
    # With a checkpoint before it: the rate rises from 0, a step an epoch.
    monkeypatch.setattr("varinf.job._fit._CHECKPOINT_SECONDS", 0.0)
    fault = varinf(*arguments, "--warmup-epochs", "10", "--batch-size", "24", "--out", "late")
    assert_fault(fault, "at step" if "at step" in fault[2][0] else "after step")
    assert fault[2][0].endswith("the last good checkpoint is kept in late/checkpoints")
    assert Path("late/checkpoints/step-0000000001.json").exists()


def interrupt_at(monkeypatch, place, number):
    def stop(*_, **__):
        signal.raise_signal(number)

    monkeypatch.setattr(place, stop)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_says_how_to_go_on(varinf, tiny, tmp_path, monkeypatch, number):
    np.save("x.npy", GREY)
    before = signal.getsignal(number)  # not always the default: a shell's background jobs ignore SIGINT
    with monkeypatch.context() as patch:
        interrupt_at(patch, "varinf.run.Run.log", number)
        code, _, err = varinf("fit", "x.npy", *tiny, "--out", "run")
    assert (code, err) == (130, ["varinf: interrupted; go on with: varinf fit --resume run"])
    assert signal.getsignal(number) == before
    assert varinf("fit", "--resume", "run")[0] == 0


def test_an_interrupt_that_python_drops_is_raised_again(varinf, finished, monkeypatch):
    """As what is raised in JAX's callback of the garbage collector is."""
    (finished / "results.json").unlink()

    def stop(phase, _):
        gc.callbacks.remove(stop)
        signal.raise_signal(signal.SIGTERM)

    def tidy(_):
        gc.callbacks.append(stop)
        gc.collect()
        time.sleep(5)

    monkeypatch.setattr("varinf.run.Run.tidy", tidy)
    began = time.monotonic()
    assert varinf("fit", "--resume", "run")[::2] == (130, ["varinf: interrupted; go on with: varinf fit --resume run"])
    assert time.monotonic() - began < 4


def test_an_interrupt_before_there_is_a_run(varinf, tmp_path, monkeypatch):
    np.save("x.npy", GREY)
    interrupt_at(monkeypatch, "varinf.run.Run.create", signal.SIGINT)
    code, _, err = varinf("fit", "x.npy")
    assert (code, err) == (130, ["varinf: interrupted"])
    assert sorted(listing(tmp_path)) == ["x.npy"]


def test_an_interrupt_ends_the_process_before_python_does(capsys, monkeypatch):
    """XLA's threads may be at work, and do not outlive the interpreter."""
    said = []
    monkeypatch.setattr(os, "_exit", lambda code: said.append((code, capsys.readouterr().err)))
    monkeypatch.setattr(sys, "argv", ["varinf", "data"])
    interrupt_at(monkeypatch, "varinf.data.known", signal.SIGTERM)
    main()
    assert said == [(130, "varinf: interrupted\n")]


def test_two_processes_on_one_run(varinf, finished):
    (finished / "results.json").unlink()
    shutil.rmtree(finished / "checkpoints")  # without which a new run that fails is removed
    hold = "import fcntl, sys; f = open('run/settings.toml'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        before = listing(finished.parent)
        assert_fault(varinf("fit", "--resume", "run"), "another process is at work on run")
        assert_fault(varinf("fit", "images.npy", "--out", "run", "--overwrite"), "another process is at work on run")
        from varinf.cli._session import carry_out

        with pytest.raises(InputError, match="another process is at work on run"):
            carry_out(Run.open(Path("run")), new=True)
        assert listing(finished.parent) == before
        other.communicate(b"\n")


INFO = [sys.executable, "-c", "import sys; from varinf.cli import main; sys.exit(main(['info', 'run']))"]


@pytest.fixture(params=["", "1"])
def environment(request):
    """Whether Python writes at once what is printed, or at its end."""
    return {**os.environ, "PYTHONUNBUFFERED": request.param}


def test_a_reader_that_went_away(finished, environment):
    with subprocess.Popen(INFO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_output_onto_a_full_disk(finished, environment):
    with open("/dev/full", "w") as full:
        done = subprocess.run(INFO, stdout=full, stderr=subprocess.PIPE, env=environment, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "varinf: no space left on device\n")


def test_a_fit_whose_output_cannot_be_written_is_kept(varinf, tiny, monkeypatch):
    class Full(StringIO):
        def write(self, _):
            raise OSError(28, "No space left on device")

    np.save("x.npy", GREY)
    monkeypatch.setattr(sys, "stdout", Full())
    assert varinf("fit", "x.npy", *tiny, "--out", "run")[::2] == (2, ["varinf: no space left on device"])
    assert Path("run/results.json").exists()


def test_a_stream_that_is_closed(varinf, tiny, monkeypatch):
    np.save("x.npy", GREY)
    for name in ("stdin", "stdout"):
        monkeypatch.setattr(sys, name, None)
    assert varinf("fit", "x.npy", *tiny, "--out", "run")[::2] == (0, [])
    with sys.stdin, sys.stdout:
        assert sys.stdout.name == os.devnull


def test_the_main_thread_alone_takes_signals(varinf):
    codes = []
    thread = threading.Thread(target=lambda: codes.append(varinf("info", "nowhere")[0]))
    thread.start()
    thread.join()
    assert codes == [2]
