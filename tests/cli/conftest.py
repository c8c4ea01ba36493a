"""What the tests of the command line share: a way to run it in this process, and one finished run."""

import shutil

import numpy as np
import pytest

from varinf.cli import main

# the smallest fit that has every part: a code of two numbers, few units, two epochs, and every figure from few draws
TINY = ("--latent-dim", "2", "--hidden", "4", "--epochs", "2", "--batch-size", "16")


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    """The figures of a fit from few draws: how good they are is tested elsewhere."""
    monkeypatch.setattr("varinf.job._figures._EVALUATION_SAMPLES", 20)


@pytest.fixture
def varinf(capsys):
    """Run a command; its exit code, and the lines it printed on either stream."""

    def run(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err.splitlines()

    return run


@pytest.fixture(scope="session")
def images():
    """Grey images of 8 bits, `[40, 6, 5]`."""
    return np.random.default_rng(0).integers(0, 256, (40, 6, 5), dtype=np.uint8)


@pytest.fixture(scope="session")
def _finished(tmp_path_factory, images):
    folder = tmp_path_factory.mktemp("finished")
    np.save(folder / "images.npy", images)
    assert main(["fit", str(folder / "images.npy"), *TINY, "--out", str(folder / "run")]) == 0
    return folder


@pytest.fixture
def tiny():
    """Options of the smallest fit."""
    return TINY


@pytest.fixture
def finished(_finished, tmp_path):
    """A run that ended, to do with as one likes; its data are in images.npy beside it."""
    shutil.copytree(_finished, tmp_path, dirs_exist_ok=True)
    settings = tmp_path / "run" / "settings.toml"
    settings.write_text(settings.read_text().replace(str(_finished), str(tmp_path)))
    return tmp_path / "run"
