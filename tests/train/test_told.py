"""Whether two fits are the same one is read off what they were given, functions and what these close over included."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import varinf as vi
from varinf import distributions as vd
from varinf.train import make_optimizer
from varinf.train._told import told

NUMBER = 1.0


class Schedule:
    def __init__(self, value):
        self.value, self.itself = value, self

    def __call__(self, step):
        return self.value * step


def times(step, value):
    return value * step


def recursive(value):
    def schedule(step):
        return schedule(step - 1) if step > 1 else value

    return schedule


def things(value):
    """Of all kinds, each of which is another at another number."""
    array = np.full(3, value)
    return {
        "sgd": optax.sgd(value),
        "adam": optax.adam(value),
        "cosine": optax.adam(optax.cosine_decay_schedule(value, 100)),
        "masked": optax.masked(optax.add_decayed_weights(value), lambda params: jax.tree.map(jnp.ndim, params)),
        "parts": optax.multi_transform({"a": optax.sgd(1.0), "b": optax.sgd(1.0, momentum=value)}, {"x": "a"}),
        "every fourth": optax.MultiSteps(optax.adam(value), 4),
        "start": optax.adagrad(1.0, initial_accumulator_value=value),
        "by name": make_optimizer(learning_rate=value),
        "number": vi.ELBO(beta=value),
        "constant": vi.ELBO(beta=optax.constant_schedule(value)),
        "line": vi.ELBO(beta=optax.linear_schedule(0, value, 10)),
        "default": lambda step, value=value: value * step,
        "default by name": lambda step, *, value=value: value * step,
        "within": lambda step: (lambda: value * step)(),
        "recursive": recursive(value),
        "array": lambda step: array * step,
        "jax": lambda step: jnp.asarray(array) * step,
        "set": functools.partial(times, value={"a", "b", "c", "d", value}),
        "compiled": jax.jit(lambda step: value * step),
        "object": Schedule(value),
        "method": Schedule(value).__call__,
        "module": eqx.nn.Lambda(lambda x: value * x),
        "static": eqx.nn.MLP(2, 2, 2, 1, activation=lambda x: value * x, key=jax.random.key(0)),
        "prior": vd.Normal(0.0, value),
        "key": jax.random.key(int(1000 * value)),
    }


def test_what_differs_in_a_number_is_told_apart_and_what_does_not_is_not():
    one, again, other = things(0.25), things(0.25), things(0.5)
    for name, thing in one.items():
        assert told(thing) == told(again[name]), name
        assert told(thing) != told(other[name]), name


def test_what_differs_in_its_code_is_told_apart(monkeypatch):
    functions = [
        lambda x: jnp.sin(x),
        lambda x: jnp.cos(x),  # of the same instructions
        lambda x: x + 1,
        lambda x: x + 2,
        lambda x: [y + 1 for y in (lambda: x)()],
        lambda x: [y + 2 for y in (lambda: x)()],
        lambda x: NUMBER * x,
        jnp.sin,
        jax.nn.relu,
        jax.nn.gelu,
        np.sin,
        max,
    ]
    before = [told(function) for function in functions]
    assert len({*before}) == len(functions)
    monkeypatch.setitem(globals(), "NUMBER", 2.0)
    assert [i for i, function in enumerate(functions) if told(function) != before[i]] == [6]


def test_it_is_the_same_in_another_process():
    code = (
        "import json, test_told; print(json.dumps({n: test_told.told(t) for n, t in test_told.things(0.25).items()}))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    folder = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, check=True)
    assert json.loads(done.stdout) == {name: told(thing) for name, thing in things(0.25).items()}


def test_a_mean_that_differs_in_its_last_digits_is_the_same():
    assert told(np.float32(0.3)) == told(np.nextafter(np.float32(0.3), np.float32(1)))
    assert told(np.float32(0.3)) != told(np.float64(0.3))
