"""Operations that wait on a thread of the pool that they need, made to run one after the other.

On a CPU, jaxlib 0.10 gives the matrices of a batch to the threads of one pool, and waits for them on a thread that can
be of that pool; XLA runs many parts of a program at once. When each thread waits, none is left to work, and the program
never ends: with two cores, a few solves of triangular systems that do not need one another are enough. Here each of
these operations is made to depend on the one before, so that there is never more than one.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Primitive, jaxprs_in_params, subjaxprs
from jaxtyping import Array

P = ParamSpec("P")
R = TypeVar("R")

# of LAPACK; two of them have no public name
_WAITING = {p.name for p in vars(lax.linalg).values() if isinstance(p, Primitive)} | {"geqrf", "geqp3"}


def in_turn(function: Callable[P, R]) -> Callable[P, R]:
    """The function of arrays, to be traced, with its waiting operations one after the other on a CPU."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if jax.default_backend() != "cpu":
            return function(*args, **kwargs)
        program: Any = jax.jit(function)
        traced = program.trace(*args, **kwargs)
        if not _waits(traced.jaxpr.jaxpr):
            return program(*args, **kwargs)  # as it was traced, and not again
        outputs, _ = _walk(traced.jaxpr, jax.tree.leaves((args, kwargs)), jnp.zeros((), jnp.float32))
        return jax.tree.unflatten(jax.tree.structure(traced.out_info), outputs)

    return call


def _waits(jaxpr: Jaxpr) -> bool:
    """Whether a program has an operation that waits."""
    return any(equation.primitive.name in _WAITING for equation in jaxpr.eqns) or any(map(_waits, subjaxprs(jaxpr)))


def _walk(closed: ClosedJaxpr, args: Sequence[Any], zero: Array) -> tuple[list[Any], Array]:
    """The outputs of a program, and a zero that is known only when its last waiting operation has ended.

    Args:
        closed: the program.
        args: of it.
        zero: that of what came before.
    """
    jaxpr = closed.jaxpr
    values: dict[Any, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*closed.consts, *args], strict=True))

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, Literal) else values[variable]

    for equation in jaxpr.eqns:
        inputs, name = [read(variable) for variable in equation.invars], equation.primitive.name
        if name in _WAITING:
            outputs = bind(equation, _after(zero, inputs))
            zero = _zero_of(outputs[0])
        elif name in _RULES and any(map(_waits, jaxprs_in_params(equation.params))):
            outputs, zero = _RULES[name](equation.params, inputs, zero)
        else:
            outputs = bind(equation, inputs)
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(variable) for variable in jaxpr.outvars], zero


def bind(equation: Any, inputs: Sequence[Any]) -> list[Any]:
    """The results of an equation of a jaxpr."""
    result = equation.primitive.bind(*inputs, **equation.primitive.get_bind_params(equation.params))
    return list(result) if equation.primitive.multiple_results else [result]


def _after(zero: Array, inputs: list[Any]) -> list[Any]:
    """The inputs of an operation, the smallest of them known only when the zero is."""
    smallest = min(range(len(inputs)), key=lambda i: np.size(inputs[i]))
    return [x + zero.astype(x.dtype) if i == smallest else x for i, x in enumerate(inputs)]


def _zero_of(output: Array) -> Array:
    """A zero for which XLA must read the output: its sign, shifted away. NaN makes it no other."""
    first = jnp.ravel(output.real)[:1].astype(jnp.float32)
    sign = lax.shift_right_logical(lax.bitcast_convert_type(first, jnp.uint32), jnp.uint32(31))
    return lax.shift_right_logical(sign, jnp.uint32(1)).sum().astype(jnp.float32)


def _closed(program: Any) -> ClosedJaxpr:
    return program if isinstance(program, ClosedJaxpr) else ClosedJaxpr(program, ())


def _call(params: dict, inputs: list[Any], zero: Array) -> tuple[list[Any], Array]:
    program = params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"]
    return _walk(_closed(program), inputs, zero)


def _linear_solve(params: dict, inputs: list[Any], zero: Array) -> tuple[list[Any], Array]:
    lengths, program = params["const_lengths"], params["jaxprs"].solve
    start = lengths.matvec + lengths.vecmat
    return _walk(_closed(program), inputs[start : start + lengths.solve] + inputs[sum(lengths) :], zero)


def _scan(params: dict, inputs: list[Any], zero: Array) -> tuple[list[Any], Array]:
    consts, end = params["num_consts"], params["num_consts"] + params["num_carry"]

    def body(carry: tuple, x: list) -> tuple:
        outputs, zero = _walk(params["jaxpr"], [*inputs[:consts], *carry[1], *x], carry[0])
        return (zero, outputs[: end - consts]), outputs[end - consts :]

    settings = {name: params[name] for name in ("length", "reverse", "unroll")}
    (zero, carry), outputs = lax.scan(body, (zero, inputs[consts:end]), inputs[end:], **settings)
    return [*carry, *outputs], zero


def _while(params: dict, inputs: list[Any], zero: Array) -> tuple[list[Any], Array]:
    of_cond = params["cond_nconsts"]
    end = of_cond + params["body_nconsts"]

    def going(carry: tuple) -> Array:
        return _walk(params["cond_jaxpr"], [*inputs[:of_cond], *carry[1]], carry[0])[0][0]

    def body(carry: tuple) -> tuple:
        outputs, zero = _walk(params["body_jaxpr"], [*inputs[of_cond:end], *carry[1]], carry[0])
        if params["cond_jaxpr"].out_avals[0].shape:  # a batch of loops: those that have ended stay as they are
            on = going(carry)
            pairs = zip(outputs, carry[1], strict=True)
            outputs = [jnp.where(jnp.expand_dims(on, range(on.ndim, new.ndim)), new, old) for new, old in pairs]
        return zero, outputs

    zero, outputs = lax.while_loop(lambda carry: going(carry).any(), body, (zero, inputs[end:]))
    return outputs, zero


def _cond(params: dict, inputs: list[Any], zero: Array) -> tuple[list[Any], Array]:
    index, *operands = inputs
    branches = [lambda args, zero, branch=branch: _walk(branch, args, zero) for branch in params["branches"]]
    return lax.switch(index, branches, operands, zero)


_RULES: dict[str, Callable[[dict, list[Any], Array], tuple[list[Any], Array]]] = {
    "scan": _scan,
    "while": _while,
    "cond": _cond,
    "custom_linear_solve": _linear_solve,
} | dict.fromkeys(("jit", "closed_call", "remat2", "custom_jvp_call", "custom_vjp_call"), _call)
