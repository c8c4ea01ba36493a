"""Which room imports which, and what comes with `import varinf`: read off the sources, and tried."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "varinf"
ROOMS = [
    {"distributions", "networks", "data"},
    {"likelihoods", "posteriors", "objectives"},
    {"models"},
    {"train", "inference", "evaluate"},
    {"config"},
    {"run", "choice"},
    {"kinds"},
    {"job"},
    {"estimators", "report"},
    {"cli"},
]
RANK = {room: rank for rank, rooms in enumerate(ROOMS) for room in rooms}
HELPERS = {"_compiled", "_in_turn", "_noise", "_total", "_tree", "_files", "_table", "_checks", "errors"}
# an outside package, and the rooms that may import it
KEPT_TO = {
    "matplotlib": {"report"},
    "sklearn": {"estimators", "data"},  # data: its digits, late
    "PIL": {"data"},
    "pyarrow": {"data"},
    "typer": {"cli"},
    "rich": {"cli"},
}


def files():
    return sorted([*SOURCE.rglob("*.py"), *SOURCE.rglob("*.pyi")])


def room_of(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path):
    """The dotted names that a file imports, and whether at its top; those for types alone left out."""
    tree = ast.parse(path.read_text())
    package = ["varinf", *path.relative_to(SOURCE).parts[:-1]]
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    late = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
        if inner is not node
    }
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node not in late
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{name}.{alias.name}", node not in late


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_room_imports_only_rooms_before_it(path):
    here = room_of(path)
    if here in {"__init__", "__init__.pyi"}:
        return
    assert here in RANK or here in HELPERS, f"{here} is in no room: add it to ROOMS"
    for name, _ in imports(path):
        parts = name.split(".")
        if parts[0] != "varinf" or len(parts) == 1:
            continue
        there = parts[1]
        if there == here or there in HELPERS:
            continue
        assert there in RANK, f"{path} imports {name}, which is in no room"
        assert here in RANK, f"{path}, a helper that all rooms import, imports {name}"
        assert RANK[there] <= RANK[here], f"{path} imports {name}, which comes after it"


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_outside_packages_keep_to_their_rooms(path):
    for name, at_top in imports(path):
        package = name.split(".")[0]
        if package in KEPT_TO:
            assert room_of(path) in KEPT_TO[package], f"{path} imports {name}"
            if (package, room_of(path)) == ("sklearn", "data"):
                assert not at_top, f"{path} imports {name} at its top"


def test_the_engine_knows_no_concrete_model():
    known = {"AbstractModel"}
    for room in ("train", "objectives"):
        for path in (SOURCE / room).glob("*.py"):
            for name, _ in imports(path):
                if name.startswith("varinf.models"):
                    assert name.split(".")[-1] in known, f"{path} imports {name}"
            words = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
            assert not words & {"VAE", "BayesianNetwork"}, path


def test_the_test_can_fail(tmp_path, monkeypatch):
    """The reader of imports sees all spellings."""
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "_x.py"
    path.write_text("from ..models import VAE\nimport varinf.train\ndef f():\n    from varinf import cli\n")
    monkeypatch.setattr(sys.modules[__name__], "SOURCE", tmp_path)
    assert list(imports(path)) == [("varinf.models.VAE", True), ("varinf.train", True), ("varinf.cli", False)]


@pytest.mark.parametrize("room", ["", ".data", ".errors", ".config", ".run", ".cli"])
def test_what_does_not_load_jax(room):
    module = "varinf" + room
    heavy = ["jax", "sklearn", "matplotlib", "numpyro"]
    code = f"import sys, {module}; dir({module}); print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_what_is_used_loads_neither_matplotlib_nor_scikit_learn():
    code = (
        "import sys, varinf as vi; vi.VAE, vi.fit, vi.evaluate.log_likelihood;"
        "print([m for m in ('sklearn', 'matplotlib', 'PIL', 'pyarrow', 'typer', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def stubs():
    return sorted(SOURCE.rglob("__init__.pyi"))


def public_names(stub):
    for node in ast.parse(stub.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)


@pytest.mark.parametrize("stub", stubs(), ids=lambda stub: stub.parent.name)
def test_every_public_name_resolves_and_says_what_it_is(stub):
    room = ".".join(stub.parent.relative_to(SOURCE.parent).parts)
    module = importlib.import_module(room)
    assert module.__doc__, f"{room} has no docstring"
    for name in public_names(stub):
        thing = getattr(module, name)
        if callable(thing):
            doc = thing.__doc__ or ""
            assert doc.strip(), f"{room}.{name} has no docstring"
            assert not doc.startswith(f"{name}("), f"{room}.{name} has only the docstring that dataclasses make"
        for part in vars(thing) if isinstance(thing, type) else ():
            value = getattr(thing, part)
            if not part.startswith("_") and (isinstance(value, property) or inspect.isroutine(value)):
                assert inspect.getdoc(value), f"{room}.{name}.{part} has no docstring"


def test_our_distributions_say_what_they_are():
    from varinf import distributions as vd

    ours = [name for name in dir(vd) if getattr(getattr(vd, name), "__module__", "").startswith("varinf")]
    assert {"MultivariateNormalDiag", "Bernoulli", "kl_divergence", "NoClosedForm", "Independent"} <= set(ours)
    for name in ours:
        assert getattr(vd, name).__doc__, name
    # NumPyro's stand beside them
    assert vd.Normal.__module__.startswith("numpyro")
