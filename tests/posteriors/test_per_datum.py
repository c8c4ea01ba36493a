import jax
import jax.numpy as jnp
import numpy as np
import pytest

import varinf as vi
from varinf.posteriors import FullRank, PerDatum

KEY = jax.random.key(0)
X = np.random.default_rng(0).integers(0, 2, (9, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def fitted():
    model = vi.VAE.build(event_shape=(5,), hidden=(4,), posterior="per_datum", num_data=len(X), key=KEY)
    return vi.fit(model, X, epochs=3, key=KEY).model


def test_it_is_looked_up_by_number():
    q = PerDatum(7, 3, FullRank())
    assert q.parameters.array.shape == (7, FullRank().num_parameters(3))
    parameters = q.parameters.array.at[5].set(jnp.arange(9.0))
    q = jax.tree.unflatten(jax.tree.structure(q), [parameters])
    np.testing.assert_array_equal(q.at(5).mean, [0, 1, 2])
    at = q.at(np.array([[0, 5], [5, 6]]))
    assert (at.batch_shape, at.event_shape) == ((2, 2), (3,))
    np.testing.assert_array_equal(at.mean[:, :, 2], [[0, 2], [2, 0]])
    np.testing.assert_allclose(q.at(0).variance, 0.01, rtol=1e-3)  # each begins narrow
    np.testing.assert_array_equal(jax.jit(lambda rows: q.at(rows).mean)(jnp.array([5])), [[0, 1, 2]])


@pytest.mark.parametrize("rows", [[7], -1, [0.0], [True]])
def test_rows_that_there_are_not(rows):
    with pytest.raises(vi.InputError, match="expected row numbers"):
        PerDatum(7, 3).at(rows)


@pytest.mark.parametrize(("num_data", "dim"), [(0, 2), (2, 0)])
def test_sizes_are_at_least_one(num_data, dim):
    with pytest.raises(vi.InputError, match="at least 1"):
        PerDatum(num_data, dim)


def test_a_model_is_built_for_so_many_rows():
    settings = {"event_shape": (5,), "posterior": "per_datum", "key": KEY}
    with pytest.raises(vi.InputError, match="pass num_data="):
        vi.VAE.build(**settings)
    summary = vi.data.summarize(vi.data.source(X))
    assert vi.VAE.build(**settings, summary=summary).encoder.num_data == 9
    assert vi.VAE.build(**settings, summary=summary, num_data=3).encoder.num_data == 3


OF_OTHER_ROWS = {
    "encode": lambda model: model.encode(X),
    "reconstruct": lambda model: model.reconstruct(X),
    "elbo": lambda model: vi.evaluate.elbo(model, X, key=KEY),
    "log_likelihood": lambda model: vi.evaluate.log_likelihood(model, X, 10, key=KEY),
    "validation": lambda model: vi.fit(model, X, validation=X, key=KEY),
}


@pytest.mark.parametrize("name", OF_OTHER_ROWS)
def test_rows_that_are_not_known_by_number_are_refused(fitted, name):
    """Whatever their values: those of the first rows given would otherwise be taken for the first rows fitted."""
    with pytest.raises(vi.InputError, match=r"per-datum posterior knows only .*vi\.infer_local\(vae, x"):
        OF_OTHER_ROWS[name](fitted)


def test_what_needs_no_posterior_works(fitted):
    assert fitted.sample(3, key=KEY).shape == (3, 5)
    assert fitted.decode(fitted.encoder.at([0, 8]).mean).mean.shape == (2, 5)


def test_saved_and_loaded(fitted, tmp_path):
    vi.save(fitted, tmp_path / "a")
    back = vi.load(tmp_path / "a")
    assert jax.tree.structure(back) == jax.tree.structure(fitted)
    rows = np.arange(len(X))
    np.testing.assert_array_equal(back.encoder.at(rows).mean, fitted.encoder.at(rows).mean)
    assert (np.asarray(back.encoder.at(rows).mean) != 0).all()
