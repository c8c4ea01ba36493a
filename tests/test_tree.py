import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpyro import distributions as nd

from varinf import distributions as vd
from varinf._tree import Constant, named_arrays, trainable, with_arrays


class Given(Constant):
    value: jax.Array


class Model(eqx.Module):
    weight: jax.Array
    count: jax.Array
    prior: nd.Distribution
    given: Given
    parts: tuple
    name: str = eqx.field(static=True, default="model")


def model(start: float = 0.0) -> Model:
    return Model(
        weight=jnp.full((2, 3), start),
        count=jnp.asarray(4),
        prior=vd.Independent(vd.Normal(jnp.full(3, start + 1), jnp.full(3, start + 2)), 1),
        given=Given(jnp.full(2, start + 3)),
        parts=(jnp.full((), start + 4), {"a": jnp.full(1, start + 5)}, jnp.tanh),
    )


def test_floats_outside_priors_and_constants_are_trained():
    trained, _ = eqx.partition(model(), trainable(model()))
    assert sorted(named_arrays(trained)) == [".parts[0]".lstrip("."), "parts[1]['a']", "weight"]


def test_names_go_by_fields_and_paths():
    assert list(named_arrays(model())) == [
        "weight",
        "count",
        "prior.base_dist.loc",
        "prior.base_dist.scale",
        "given.value",
        "parts[0]",
        "parts[1]['a']",
    ]


def test_round_trip():
    arrays = named_arrays(model(10.0))
    back = with_arrays(model(), arrays)
    assert eqx.tree_equal(back, model(10.0))
    # and each went to its own place: loc 11, scale 12
    assert back.prior.base_dist.scale[0] == 12


def test_one_array_in_two_places_comes_back_as_two():
    """By identity of the leaves, the second would overwrite the first: both would be 2."""
    shared = jnp.zeros(2)
    back = with_arrays((shared, shared), {"[0]": np.ones(2, np.float32), "[1]": np.full(2, 2, np.float32)})
    np.testing.assert_array_equal(back[0], 1)
    np.testing.assert_array_equal(back[1], 2)


def test_numpy_arrays_stay_numpy_and_double():
    back = with_arrays({"a": np.zeros(2)}, {"['a']": np.full(2, 1 + 1e-12)})
    assert isinstance(back["a"], np.ndarray)
    assert back["a"][0] == 1 + 1e-12


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_keys_go_by_their_words(impl):
    arrays = named_arrays({"key": jax.random.key(3, impl=impl)})
    back = with_arrays({"key": jax.random.key(0, impl=impl)}, arrays)["key"]
    assert back == jax.random.key(3, impl=impl)
    with pytest.raises(ValueError, match="uint32"):
        with_arrays({"key": jax.random.split(jax.random.key(0), 3)}, arrays)


def test_shapes_can_stand_for_arrays():
    like = jax.eval_shape(lambda: {"a": jnp.zeros(2)})
    np.testing.assert_array_equal(with_arrays(like, {"['a']": np.ones(2, np.float32)})["a"], 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("weight"), "lacks 'weight'"),
        (lambda a: a.update(other=np.zeros(1)), "has 'other'"),
        (lambda a: a.update(weight=np.zeros((3, 2), np.float32)), r"float32\[3, 2\] in the file, float32\[2, 3\]"),
        (lambda a: a.update(weight=np.zeros((2, 3), np.float16)), "float16"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    arrays = named_arrays(model())
    change(arrays)
    with pytest.raises(ValueError, match=message):
        with_arrays(model(), arrays)


@given(
    st.recursive(
        hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=2, max_side=3)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    )
)
def test_any_tree_comes_back(tree):
    arrays = named_arrays(tree)
    assert len(arrays) == len(jax.tree.leaves(tree))
    back = with_arrays(jax.tree.map(np.zeros_like, tree), arrays)
    jax.tree.map(np.testing.assert_array_equal, back, tree)
