"""Operations that wait for threads, one after the other: the same values, and no program that never ends."""

import itertools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend.core import subjaxprs
from jax.scipy.linalg import cho_solve, solve_triangular

from varinf._in_turn import in_turn

# Solves of which none needs another. As XLA runs them, this program never ends on two cores.
PROGRAM = """
import jax, jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from varinf._compiled import compiled

def program(a, xs):
    solve = jax.vmap(lambda a, b: solve_triangular(a, b, lower=True))
    return jax.lax.fori_loop(0, 300, lambda i, xs: [solve(a, jnp.sin(x)) for x in xs], xs)

a = jnp.eye(16) + jnp.zeros((512, 1, 1))
print(compiled(program)(a, [k * jnp.ones((512, 16, 16)) for k in range(1, 5)])[0].shape)
"""


@pytest.fixture
def matrix(rng):
    root = rng.normal(size=(3, 4, 4))
    return jnp.asarray(root @ root.transpose(0, 2, 1) + np.eye(4), jnp.float32)


def repeated(a, x):
    """Two factorisations in each turn of a loop, within a branch."""

    def turn(carry, row):
        carry = lax.cond(row > 0, lambda c: jnp.linalg.cholesky(c) @ jnp.linalg.cholesky(c + row), lambda c: c, carry)
        return carry + carry.mT + jnp.eye(4), jnp.linalg.slogdet(carry)[1]

    return lax.scan(turn, a, x)


def until(a, x):
    return lax.while_loop(lambda c: jnp.linalg.slogdet(c)[1].sum() > 0, lambda c: 0.5 * jnp.linalg.cholesky(c), a)


@jax.custom_vjp
def own_gradient(a):
    return jnp.linalg.cholesky(a)


own_gradient.defvjp(lambda a: (own_gradient(a), a), lambda a, g: (g * a,))
PROGRAMS = {
    "calls": lambda a, x: (jnp.linalg.solve(a, a + 1), jax.scipy.linalg.expm(a / 8), jnp.linalg.inv(a)),
    "gradients": lambda a, x: jax.grad(lambda a: cho_solve((jnp.linalg.cholesky(a), True), a + 2).sum())(a),
    "loops": repeated,
    "conditions": until,
    "own gradients": lambda a, x: (own_gradient(a), jax.checkpoint(jnp.linalg.cholesky)(a)),
    "batches": lambda a, x: jax.vmap(lambda t: until(t * a, x))(jnp.arange(1.0, 3.0)),
    "complex": lambda a, x: (jnp.linalg.eigh(a + 1j * (a - a.mT))[0], jnp.linalg.cholesky(a)),
    "not a number": lambda a, x: (jnp.linalg.cholesky(-a), jnp.linalg.cholesky(a)),
    "none of them": lambda a, x: (a @ a, x),
    "empty": lambda a, x: (jnp.linalg.cholesky(a[:0]), jnp.linalg.cholesky(a)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_values_are_the_same(name, matrix):
    x = jnp.asarray([1.0, -1.0, 2.0])
    plain, turned = jax.jit(PROGRAMS[name])(matrix, x), jax.jit(in_turn(PROGRAMS[name]))(matrix, x)
    assert jax.tree.structure(plain) == jax.tree.structure(turned)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-5), plain, turned)


def waiting(jaxpr):
    """Each operation that waits, as a pair: its equation, the equations that it must follow."""
    before, found = {}, []
    for equation in jaxpr.eqns:
        follows = set().union(*(before.get(v, set()) for v in equation.invars if not hasattr(v, "val")))
        if equation.primitive.name in ("cholesky", "triangular_solve", "lu"):
            found.append((id(equation), follows))
            follows = follows | {id(equation)}
        before |= dict.fromkeys(equation.outvars, follows)
    return found, [inner for equation in jaxpr.eqns for inner in subjaxprs(jaxpr.replace(eqns=[equation]))]


@pytest.mark.parametrize("name", ["calls", "gradients", "loops", "not a number"])
def test_each_needs_the_one_before(name, matrix):
    todo, most = [jax.make_jaxpr(in_turn(PROGRAMS[name]))(matrix, jnp.ones(3)).jaxpr], 0
    while todo:
        found, inner = waiting(todo.pop())
        todo += inner
        most = max(most, len(found))
        for (earlier, _), (_, follows) in itertools.pairwise(found):
            assert earlier in follows
    assert most > 1


def test_independent_solves_end():
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, timeout=120, capture_output=True, text=True)
    assert done.stdout.strip() == "(512, 16, 16)", done.stderr


def test_a_zero_is_one_whatever_the_output():
    values = jnp.asarray([-jnp.inf, jnp.nan, -0.0, 3.0, -1e-40])
    factor = solve_triangular(jnp.diag(values), jnp.ones(5), lower=True)

    def both(x):
        return solve_triangular(jnp.diag(x), jnp.ones(5), lower=True), jnp.linalg.cholesky(jnp.eye(2))

    found, after = jax.jit(in_turn(both))(values)
    np.testing.assert_array_equal(found, factor)
    np.testing.assert_array_equal(after, jnp.eye(2))
