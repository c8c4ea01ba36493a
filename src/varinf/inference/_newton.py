"""A full-rank normal in many dimensions, by Newton's method on the bound.

Where the bound is largest, E_q[∇ ln p] = 0 and Σ⁻¹ = −E_q[∇² ln p] (Opper and Archambeau 2009, equation 8). A factor
has ½ dim² entries, and as many draws of gradients as that are needed not to fit them to chance; a few draws of the
second derivatives tell them all.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from varinf._compiled import compiled
from varinf.inference._bound import Begun, Frame, Member, Parabola, Problem, expansion, inverse_factor, rounding
from varinf.inference._draws import Noise, NoiseBuffer, normal_draws
from varinf.inference._result import Ended, Fitted, Stage
from varinf.models import AbstractTarget
from varinf.posteriors import AbstractFamily, FullRank

_FEW = 64  # dimensions, up to which a quasi-Newton method on fixed draws is as fast
# share of the variance of ln p that is its parabola's; below it, chance in the draws leaves too much in the curvature
_NORMAL = 0.9
_FIRST, _GROWTH = 4, 4  # pairs of draws in the first step, and how many times as many where chance is what is left
_SMALLER = 4  # times, at least, that each step makes what is not chance
_STEPS = 20  # at most
_GRADIENTS = 16  # for each draw of the second derivatives: these cost a dim-th of it, and leave more to chance


class Step(NamedTuple):
    """What a step came to.

    Attributes:
        frame: of the new q, which is N(0, I) in it.
        elbo: of the new q, about.
        gain: KL[old q || new q]: what the step is worth where ln p is a parabola.
        noise: the part of it that is due to chance in the draws; it is as far from the optimum that the new q is.
    """

    frame: Frame
    elbo: Float[Array, ""]
    gain: Float[Array, ""]
    noise: Float[Array, ""]


@compiled
def newton_step(target: AbstractTarget, frame: Frame, noise: Noise) -> Step:
    """From q = N(0, I) in a frame to that of the average gradient and second derivatives over q.

    Args:
        target: p.
        frame: with a triangular scale.
        noise: each chunk of some numbers ε stands for the draws ε and −ε, of which the first has second derivatives.
    """

    def of_chunk(e: Array) -> tuple[Array, Array, Array]:
        z = frame.z(jnp.concatenate([e, -e]))
        values, gradients = jax.vmap(jax.value_and_grad(target.log_density))(z)
        curvature = -(expansion(target.log_density, z[0])[2] + expansion(target.log_density, z[len(e)])[2]) / 2
        return values.mean(), gradients.mean(0) @ frame.scale, frame.scale.T @ curvature @ frame.scale

    def add(i: Array, sums: tuple) -> tuple:
        # in two halves, by whose difference chance is known
        return jax.tree.map(lambda total, new: total.at[i % 2].add(new), sums, of_chunk(noise.chunks[i]))

    zeros = jax.tree.map(
        lambda leaf: jnp.zeros((2, *leaf.shape), leaf.dtype), jax.eval_shape(of_chunk, noise.chunks[0])
    )
    sums = jax.lax.fori_loop(0, noise.used, add, zeros)
    values, gradients, curvatures = jax.tree.map(lambda leaf: 2 * leaf / noise.used, sums)
    gradient, curvature = gradients.mean(0), curvatures.mean(0)
    factor = inverse_factor(curvature)
    move = factor @ (factor.T @ gradient)
    log_det = -2 * jnp.log(jnp.diagonal(factor)).sum()
    gain = 0.5 * (jnp.trace(curvature) - len(move) - log_det + gradient @ move)
    apart = 0.5 * ((curvatures[0] - curvatures[1]) ** 2).sum() + ((gradients[0] - gradients[1]) ** 2).sum()
    entropy = frame.log_det() + 0.5 * len(move) * (1 + jnp.log(2 * jnp.pi))
    new = Frame(frame.shift + frame.scale @ move, frame.scale @ factor)
    return Step(new, values.mean() + entropy + gain, gain, apart / 8)


def fit_by_newton(
    target: AbstractTarget, family: AbstractFamily, begun: Begun, max_draws: int, elbo_tol: float, seed: int
) -> Ended | None:
    """The best full-rank normal, by steps each on more draws; None where another way is better or the only one.

    Args:
        target: p.
        family: of q.
        begun: with a leading axis `[restarts]`, of which the best is gone on with.
        max_draws: of a step, a draw of the second derivatives counting as one for each of its columns.
        elbo_tol: nats.
        seed: for the draws.
    """
    best = int(jnp.argmax(begun.value))
    dim = begun.frame.shift.shape[1]
    if not isinstance(family, FullRank) or dim <= _FEW or not begun.curved[best] or begun.explained[best] < _NORMAL:
        return None
    frame = Frame(begun.frame.shift[best], begun.frame.scale[best])
    dtype = frame.shift.dtype
    most = max(_FIRST, max_draws // (2 * (dim + _GRADIENTS)))
    buffer = NoiseBuffer(most * _GRADIENTS, _GRADIENTS, dim, dtype)
    stages: list[Stage] = []
    pairs, last = _FIRST, Step(frame, *[jnp.asarray(value) for value in (-np.inf, np.inf, 0.0)])
    while True:
        number = 2 * pairs * _GRADIENTS
        draws = normal_draws(number, dim, seed + len(stages), match=True)
        step = newton_step(target, last.frame, buffer.filled(draws[: number // 2]))
        elbo, gain, noise = map(float, step[1:])
        if not gain < last.gain:  # not a number, where the curvature is not that of a maximum
            return None
        stages.append(Stage(number, elbo, 1))
        # of what the step put right, chance in its draws and in those before is put right by more of them alone
        rest = max(gain - noise - float(last.noise), 0)
        left = noise + rest / _SMALLER
        more = pairs * _GROWTH if rest < _SMALLER * noise else pairs
        enough = left < max(elbo_tol, rounding(elbo, dtype))
        if enough or more > most or len(stages) == _STEPS:
            break
        pairs, last = more, step
    reason = (
        f"a Newton step on {2 * pairs} draws of second derivatives was worth {gain:.2g} nats, which leaves {left:.2g}"
    )
    member = Member(family, family.standard(dim).astype(dtype))
    parabola = Parabola(jnp.eye(dim, dtype=dtype), jnp.ones((), dtype))
    return Ended(Fitted(Problem(target, step.frame, parabola), member), True, stages, enough, reason)
