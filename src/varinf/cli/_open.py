"""A run for a command that only some kinds of model have."""

from pathlib import Path

from varinf.errors import InputError
from varinf.run import Run


def open_vae(path: Path) -> Run:
    """The run of a variational auto-encoder.

    Raises:
        InputError: there is none, or it is of another kind.
    """
    return _open(path, ("vae",), "for its predictions: varinf predict")


def open_network(path: Path) -> Run:
    """The run of a classifier or a regressor.

    Raises:
        InputError: there is none, or it is of another kind.
    """
    return _open(path, ("classifier", "regressor"), "for its codes: varinf encode")


def _open(path: Path, kinds: tuple[str, ...], instead: str) -> Run:
    run = Run.open(path)
    kind = run.settings.model.model
    if kind not in kinds:
        raise InputError(f"this command is for a {' or '.join(kinds)}, and {path} is the run of a {kind}; {instead}")
    return run
