"""Programs: what is traced, what is static, what is used up."""

import functools
import re
from collections.abc import Callable
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.core import Tracer

import varinf
from varinf import _compiled
from varinf._compiled import compiled, traced_once


class Scaled(eqx.Module):
    by: jax.Array
    activation: Callable = jnp.tanh

    @compiled
    def __call__(self, x, *, power=1):
        return self.activation(self.by * x) ** power


def test_arrays_are_traced_and_the_rest_is_static(compilations):
    model, x = Scaled(jnp.asarray(2.0)), np.linspace(-1, 1, 5)
    np.testing.assert_allclose(model(x, power=2), np.tanh(2 * x) ** 2, rtol=1e-5)
    once = len(compilations)
    np.testing.assert_allclose(Scaled(jnp.asarray(3.0))(2 * x, power=2), np.tanh(6 * x) ** 2, rtol=1e-5)
    assert len(compilations) == once
    np.testing.assert_allclose(model(x, power=3), np.tanh(2 * x) ** 3, rtol=1e-5)
    assert len(compilations) > once


def test_what_is_no_array_comes_back_as_it_is():
    given = compiled(lambda x, name: {"x": x + 1, "name": name, "none": None})(jnp.ones(2), "a")
    np.testing.assert_array_equal(given.pop("x"), [2, 2])
    assert given == {"name": "a", "none": None}


def test_within_another_program():
    model = Scaled(jnp.asarray(2.0))
    x = jnp.linspace(-1, 1, 5)
    np.testing.assert_allclose(jax.jit(lambda x: model(x))(x), model(x), rtol=1e-6)
    np.testing.assert_allclose(
        jax.vmap(jax.grad(lambda x: model(x)))(x), 2 * (1 - np.tanh(2 * x) ** 2), rtol=1e-4, atol=1e-6
    )


def test_within_another_program_of_which_nothing_comes_in():
    model, x = Scaled(jnp.asarray(2.0)), jnp.linspace(-1, 1, 5)
    for transform in (jax.jit, jax.vmap, jax.grad):
        ones = jnp.ones(5) if transform is jax.vmap else jnp.asarray(1.0)
        given = transform(lambda y: (y * model(x)).sum())(ones)
        np.testing.assert_allclose(given, np.broadcast_to(model(x).sum(), ones.shape), atol=1e-6)


def test_constants_are_a_part_of_the_program():
    """And not programs of their own, which are compiled one by one."""
    constants = []

    @compiled
    def moved(x):
        constants.append(jnp.zeros(3))
        return x + constants[0]

    moved(jnp.ones(3))
    assert isinstance(constants[0], Tracer)


def test_options_that_xla_does_not_know_are_left_out(monkeypatch):
    options = _compiled._compiler_options.__wrapped__
    known = options("cpu")
    assert known == _compiled._FOR_CPUS  # else loops copy their weights again, and what was measured is no longer so
    monkeypatch.setattr(_compiled, "_FOR_CPUS", known | {"xla_of_another_time": True})
    assert options("cpu") == known
    assert options("gpu") == {}


def test_all_but_the_first_are_used_up():
    @functools.partial(compiled, donate_rest=True)
    def moved(by, x, *, y):
        return x + by, y + by

    by, x, y = jnp.ones(3), jnp.zeros(3), jnp.zeros(3)
    moved(by, x, y=y)
    assert x.is_deleted()
    assert y.is_deleted()
    assert not by.is_deleted()


def test_what_is_not_run_is_traced_once_and_not_compiled(compilations):
    traced = []

    @functools.partial(compiled, run=False)
    def outline(x, name):
        traced.append(name)
        return {"sum": x.sum(), "name": name}

    x = np.ones((3, 2), np.float32)
    for _ in range(2):
        found = outline(x, "a")
    assert found == {"sum": jax.ShapeDtypeStruct((), jnp.float32), "name": "a"}
    assert traced == ["a"]
    assert not compilations


def test_nothing_is_compiled_otherwise():
    sources = Path(varinf.__file__).parent.rglob("*.py")
    others = [path.name for path in sources if re.search(r"filter_jit|jax\.jit\b", path.read_text())]
    assert sorted(others) == ["_compiled.py", "_in_turn.py"]


def test_errors_are_those_of_the_function():
    @compiled
    def fails(x):
        raise ValueError(f"got {x.shape}")

    with pytest.raises(ValueError, match=r"got \(2,\)"):
        fails(jnp.ones(2))


def test_what_is_a_part_of_two_programs_is_traced_once():
    traced = []

    @traced_once
    def step(x, name):
        traced.append(name)
        return x + 1, name

    @functools.partial(compiled, run=False)
    def outline(x):
        return step(x, "a")

    @compiled
    def steps(x):
        return jax.lax.fori_loop(0, 3, lambda _, x: step(x, "a")[0], x)

    x = np.zeros(2, np.float32)
    assert outline(x)[1] == "a"
    assert steps(x).tolist() == [3, 3]
    assert traced == ["a"]
