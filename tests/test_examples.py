"""Each example runs. In this process: a new one would import JAX again, which takes as long as the smaller ones."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, capsys):
    runpy.run_path(str(path), run_name="__main__")
    assert "nats" in capsys.readouterr().out


def test_vae_is_under_sixty_lines():
    (vae,) = (path for path in EXAMPLES if path.name == "vae.py")
    assert len(vae.read_text().splitlines()) < 60
