import jax
import jax.numpy as jnp
import numpy as np
import pytest

from varinf._total import total


def product(a: jax.Array, b: jax.Array, scalar: jax.Array) -> jax.Array:
    return jnp.exp(scalar * a) * b


def arrays(shape: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [*rng.normal(size=(2, *shape)), np.asarray(0.7)]


@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 7), (4096,), (4099,), (131, 127), (5, 5, 33, 64)])
def test_it_is_the_sum(shape: tuple[int, ...]):
    a, b, scalar = given = arrays(shape)
    with jax.enable_x64():
        np.testing.assert_allclose(total(product, *map(jnp.asarray, given)), np.sum(np.exp(scalar * a) * b), rtol=1e-12)


@pytest.mark.parametrize("shape", [(3, 7), (131, 127)])
def test_its_gradient_is_that_of_the_sum(shape: tuple[int, ...]):
    """Those of arrays, and of what all their numbers share."""
    with jax.enable_x64():
        a, b, scalar = given = [jnp.asarray(array) for array in arrays(shape)]
        found = jax.grad(lambda *arrays: 3 * total(product, *arrays), argnums=(0, 1, 2))(*given)
        values = jnp.exp(scalar * a)
        for one, expected in zip(found, (scalar * values * b, values, jnp.sum(a * values * b)), strict=True):
            np.testing.assert_allclose(one, 3 * expected, rtol=1e-10)


def test_single_precision_loses_little():
    """Numbers added up one after the other would be off by some 1e-5."""
    values = np.random.default_rng(0).uniform(size=1_000_003).astype(np.float32)
    found = total(lambda x: x, jnp.asarray(values))
    np.testing.assert_allclose(float(found), values.sum(dtype=float), rtol=5e-7)


def test_members_of_a_batch_are_summed_apart():
    a, b, scalar = arrays((3, 4099))
    found = jax.vmap(lambda a, b: total(product, a, b, jnp.asarray(scalar)))(a, b)
    np.testing.assert_allclose(found, (np.exp(scalar * a) * b).sum(1), rtol=1e-4)
