"""Each example runs, as a user would run it."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path):
    done = subprocess.run([sys.executable, "-W", "error", path], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "nats" in done.stdout


def test_vae_is_under_sixty_lines():
    (vae,) = (path for path in EXAMPLES if path.name == "vae.py")
    assert len(vae.read_text().splitlines()) < 60
