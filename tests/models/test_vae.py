"""What `VAE.build` makes: every likelihood with every shape, in the user's units, saved and loaded in the same bits."""

import json
import math
import os
import re
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import linear_gaussian as lg
import varinf as vi
from varinf import distributions as vd
from varinf._tree import named_arrays, trainable
from varinf.data import source, summarize
from varinf.likelihoods import LIKELIHOODS
from varinf.objectives import ELBO, Batch, value_and_grad

KEY = jax.random.key(0)
N = 9


def _values(likelihood, shape):
    rng = np.random.default_rng(0)
    if likelihood == "bernoulli":
        return rng.integers(0, 2, (N, *shape)).astype(np.float32), {}
    if likelihood == "continuous_bernoulli":
        return rng.random((N, *shape), np.float32), {}
    if likelihood.removeprefix("heteroscedastic_") in ("gaussian", "student_t"):
        return rng.normal(3, 5, (N, *shape)), {}
    if likelihood in ("poisson", "negative_binomial"):
        return rng.poisson(4, (N, *shape)), {}
    if likelihood == "categorical":
        return rng.integers(0, 5, (N, *shape)), {"num_values": 5}
    return rng.integers(60, 180, (N, *shape)).astype(np.uint8), {"scale": 255.0}


def build(likelihood, shape, hidden=(4,), **settings):
    x, needed = _values(likelihood, shape)
    summary = summarize(source(x))
    rest = {"event_shape": shape, "hidden": hidden, "likelihood": likelihood, "summary": summary, "key": KEY}
    return vi.VAE.build(**(rest | needed | settings)), x


@eqx.filter_jit
def _step(params, fixed, rows):
    n = len(rows)
    batch = Batch(fixed.observation(rows, key=None), np.arange(n), np.ones(n, bool), np.asarray(n), np.asarray(0))
    return value_and_grad(ELBO(3), params, fixed, batch, key=KEY)[:3]


def evaluate(model, x):
    return _step(*eqx.partition(model, trainable(model)), jnp.asarray(model.observation.prepare(x)))


@pytest.mark.parametrize("shape", [(5,), (4, 3, 2)])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_likelihood_with_every_shape(likelihood, shape):
    model, x = build(likelihood, shape)
    model.observation.check(summarize(source(x)))
    _, metrics, gradient = evaluate(model, x)
    assert all(np.isfinite(value) for value in metrics.values())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    # everything but the prior is trained
    trained, given = named_arrays(gradient).keys(), named_arrays(model).keys()
    assert {name for name in given - trained if not name.startswith(("prior.", "observation."))} == set()
    assert not any(name.startswith(("prior.", "observation.")) for name in trained)

    def all_of_it(model, key):
        # on rows as they are stored: traced rows are prepared as well
        q = model.encode(x)
        p = model.decode(jnp.zeros((2, 3, 2)))
        draws = model.sample(7, key=key), model.sample(7, key=key, mean=True), model.reconstruct(x)
        return q.mean, q.variance, p.mean, p.variance, p.sample(key), p.log_prob(p.sample(key)), *draws

    shapes = [leaf.shape for leaf in eqx.filter_eval_shape(all_of_it, model, KEY)]
    assert shapes[:2] == [(N, 2)] * 2
    assert shapes[2:5] == [(2, 3, *shape)] * 3
    assert shapes[5:] == [(2, 3), (7, *shape), (7, *shape), (N, *shape)]
    # draws are such as the model takes
    draws = eqx.filter_jit(lambda model: model.sample(50, key=KEY))(model)
    model.observation.check(summarize(source(np.asarray(draws))))


@pytest.mark.parametrize("shape", [(5,), (4, 3, 2)])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_rows_of_another_shape_are_refused_and_never_spread_out(likelihood, shape):
    model, x = build(likelihood, shape)
    one = x[..., :1]
    for call in (
        lambda: model.encode(one),
        lambda: model.reconstruct(one),
        lambda: vi.fit(model, one, key=KEY),
        lambda: vi.evaluate.elbo(model, one, key=KEY),
        lambda: vi.evaluate.encode(model, one),
        lambda: vi.infer_local(model, one, key=KEY),
    ):
        with pytest.raises(vi.InputError, match=re.escape(f"expected rows of shape {shape}, got {one.shape[1:]};")):
            call()
    with pytest.raises(vi.InputError, match=re.escape(f"expected one array, of rows of shape {shape}, got several")):
        vi.fit(model, (x, x[..., 0]), key=KEY)
    with pytest.raises(vi.InputError, match=r"expected codes of shape \(2,\), as the prior's are, got \(5,\)"):
        model.decode(np.zeros((3, 5)))


@pytest.mark.parametrize(("likelihood", "slack"), [(name, 1e-3) for name in LIKELIHOODS])
def test_the_output_starts_at_the_datas_mean(likelihood, slack):
    model, x = build(likelihood, (4, 3))
    # at z = 0 the layers before the last give zero
    mean = np.asarray(eqx.filter_jit(lambda model: model.decode(jnp.zeros(2)).mean)(model), np.float64)
    expected = x.mean(0) / (255.0 if likelihood == "continuous_bernoulli" and x.max() > 1 else 1.0)
    slack = slack * max(1.0, np.abs(expected).max())
    if likelihood == "discretized_logistic":
        slack = 0.05 * x.std()  # the tails that the ends cut off
    clipped = np.clip(expected, 1e-3, 1 - 1e-3) if likelihood == "bernoulli" else expected
    np.testing.assert_allclose(mean, clipped, atol=slack)


def test_recipes_do_not_depend_on_the_data():
    assert (
        build("gaussian", (5,))[0].recipe
        == vi.VAE.build(event_shape=(5,), hidden=(4,), likelihood="gaussian", key=KEY).recipe
    )


@pytest.mark.parametrize("on_jit", [False, True])
def test_encode_standardises(on_jit):
    x = np.random.default_rng(0).normal(100, 20, (N, 5)).astype(np.float32)
    model, _ = build("gaussian", (5,))
    model = vi.VAE.build(event_shape=(5,), hidden=(), likelihood="gaussian", summary=summarize(source(x)), key=KEY)
    by_hand = model.encoder(jnp.asarray((x - x.mean(0)) / x.std(0))).mean
    encode = jax.jit(lambda x: model.encode(x).mean) if on_jit else lambda x: model.encode(x).mean
    np.testing.assert_allclose(encode(x), by_hand, rtol=1e-3, atol=1e-4)


def test_log_densities_are_in_the_users_units():
    """Columns of scale 1e-6 and 1e6, and 1e9 ± 1, whose digits a float32 does not hold."""
    rng = np.random.default_rng(0)
    loc, scale = np.array([2e-6, -3e6, 1e9]), np.array([1e-6, 1e6, 1.0])
    x = loc + scale * rng.normal(size=(50, 3))
    model = vi.VAE.build(event_shape=(3,), hidden=(), likelihood="gaussian", summary=summarize(source(x)), key=KEY)
    # a decoder that has nothing of z: p(x) is then the normal of each column
    silent = eqx.tree_at(lambda m: m.decoder.network.layers[0].weight, model, jnp.zeros((2, 3)))
    reconstruction = float(evaluate(silent, x)[1]["reconstruction"])
    noise = 1 + 1e-3  # a learned scale starts at 1, above its floor
    expected = scipy.stats.norm(x.mean(0), noise * x.std(0)).logpdf(x).sum(1).mean()
    assert reconstruction == pytest.approx(expected, abs=2e-5)
    # in the third column, float32 rows would be rounded to multiples of 64: off by hundreds of nats
    p = silent.decode(jnp.zeros(2))
    np.testing.assert_allclose(p.mean, x.mean(0), rtol=1e-6)
    np.testing.assert_allclose(np.sqrt(p.variance), noise * x.std(0), rtol=1e-5)
    np.testing.assert_allclose((silent.reconstruct(x) - x.mean(0)) / x.std(0), 0, atol=1e-5)
    np.testing.assert_allclose(silent.sample(4000, key=KEY).std(0), noise * x.std(0), rtol=0.05)


def test_known_noise_is_in_the_users_units():
    x = np.random.default_rng(0).normal(5, 20, (N, 3))
    settings = {"event_shape": (3,), "hidden": (), "likelihood": "gaussian", "summary": summarize(source(x))}
    model = vi.VAE.build(variance=4.0, **settings, key=KEY)
    np.testing.assert_allclose(model.decode(jnp.zeros(2)).variance, 4.0, rtol=1e-6)
    assert "decoder.likelihood.scale.value" not in named_arrays(evaluate(model, x)[2])
    for variance in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(vi.InputError, match="variance must be positive"):
            vi.VAE.build(variance=variance, **settings, key=KEY)


class TrainedPrior(eqx.Module):
    loc: jax.Array

    def __call__(self):
        return vd.MultivariateNormalDiag(self.loc, jnp.ones(2))


def test_a_distribution_as_prior_stays_and_a_module_is_trained():
    model, x = build("bernoulli", (5,))
    ones = jnp.asarray(np.ones(2, np.float32))
    given = eqx.tree_at(lambda m: m.prior, model, vd.MultivariateNormalDiag(ones, ones))
    fitted = vi.fit(given, x, epochs=5, key=KEY).model
    np.testing.assert_array_equal(fitted.prior.loc, 1)
    trained = eqx.tree_at(lambda m: m.prior, model, TrainedPrior(ones))
    fitted = vi.fit(trained, x, epochs=5, key=KEY).model
    assert (np.asarray(fitted.prior.loc) < 1).all()
    assert eqx.filter_eval_shape(fitted.sample, 3, key=KEY).shape == (3, 5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"likelihood": "bernouli"}, "Did you mean 'bernoulli'"),
        ({"network": "mlpp"}, "Did you mean 'mlp'"),
        ({"posterior": "fullrank"}, "Did you mean 'full_rank'"),
        ({"activation": "relo"}, "Did you mean 'relu'"),
        ({"precision": "float16"}, "unknown precision"),
        ({"binarize": "dynamc"}, "Did you mean 'dynamic'"),
        ({"likelihood": "gaussian", "variance": "share"}, "Did you mean 'shared'"),
        ({"key": 0}, "key must be one of JAX's"),
        ({"posterior": None}, "unknown posterior None; known: mean_field"),
        ({"latent_dim": 0}, "at least 1"),
        ({"latent_dim": 2.5}, "latent_dim must be a whole number, got 2.5"),
        ({"hidden": (3, 2.5)}, r"hidden must be a tuple of whole numbers, got \(3, 2.5\)"),
        ({"event_shape": 4}, "event_shape must be a tuple of whole numbers, got 4"),
        ({"hidden": (3, 0)}, "at least 1"),
        ({"event_shape": (4, 0)}, "at least 1"),
        ({"likelihood": "categorical"}, "num_values"),
        ({"likelihood": "gaussian", "binarize": "dynamic"}, r"^binarize is for a bernoulli likelihood.*='bernoulli'$"),
        ({"likelihood": "poisson", "variance": 2.0}, "variance is for a gaussian likelihood, and this one is poisson"),
        ({"likelihood": "gaussian", "num_values": 4}, "for a categorical or discretized_logistic likelihood"),
        ({"likelihood": "discretized_logistic", "num_values": 0}, "num_values"),
        ({"likelihood": "discretized_logistic", "num_values": 4.5}, "num_values must be a whole number"),
        ({"likelihood": "gaussian", "variance": (1.0, 2.0)}, "variance must be a number"),
        ({"scale": -1}, "scale must be positive and finite, got -1"),
        ({"scale": math.nan}, "scale must be positive and finite, got nan"),
        ({"scale": "white"}, "scale must be a number, got 'white'"),
        ({"likelihood": "discretized_logistic", "num_values": 1}, "num_values"),
        ({"event_shape": ()}, "rank"),
        ({"network": "conv"}, "use network='mlp'"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(vi.InputError, match=message):
        vi.VAE.build(**({"event_shape": (5,), "key": KEY} | settings))


# --- files ---------------------------------------------------------------------------------------------------------

SAVED = [
    ("gaussian", {}),
    ("gaussian", {"variance": 2.0}),
    ("gaussian", {"variance": "shared", "posterior": "full_rank"}),
    ("categorical", {}),
    ("discretized_logistic", {"activation": "gelu", "latent_dim": 3}),
]

CHILD = """
import sys, numpy as np, varinf as vi
from varinf._tree import named_arrays, trainable
for path in sys.argv[1:]:
    vi.save(vi.load(path), path + '-again')
"""


def test_save_and_load_in_the_same_bits_here_and_in_another_process(tmp_path):
    paths = []
    for i, (likelihood, settings) in enumerate(SAVED):
        model, x = build(likelihood, (5,), **settings)
        paths.append(tmp_path / f"model.{i}")
        vi.save(model, paths[-1])
        back = vi.load(paths[-1])
        for (name, one), (other, two) in zip(named_arrays(model).items(), named_arrays(back).items(), strict=True):
            assert (name, one.dtype, one.tobytes()) == (other, two.dtype, two.tobytes())
        assert back.recipe == model.recipe
        assert jax.tree.structure(back) == jax.tree.structure(model)
        for one, two in zip(evaluate(model, x)[:2], evaluate(back, x)[:2], strict=True):
            assert one == two
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", CHILD, *map(str, paths)], check=True, env=environment)
        for path in paths:
            for suffix in (".safetensors", ".json"):
                again = path.with_name(path.name + "-again" + suffix).read_bytes()
                assert again == path.with_name(path.name + suffix).read_bytes()


def test_a_model_keeps_its_precision_where_another_is_the_default(tmp_path):
    single, _ = build("bernoulli", (5,))
    vi.save(single, tmp_path / "single")
    with jax.enable_x64(True):
        assert eqx.tree_equal(vi.load(tmp_path / "single"), single)
        double = jax.tree.map(lambda leaf: leaf.astype(float) if isinstance(leaf, jax.Array) else leaf, single)
        vi.save(double, tmp_path / "double")
        assert eqx.tree_equal(vi.load(tmp_path / "double"), double)
    with pytest.raises(vi.InputError, match=r"double\.safetensors: prior\.loc was saved in double precision"):
        vi.load(tmp_path / "double")


def test_a_suffix_is_taken_off(tmp_path):
    model, _ = build("bernoulli", (5,))
    vi.save(model, tmp_path / "a.safetensors")
    assert sorted(os.listdir(tmp_path)) == ["a.json", "a.safetensors"]
    assert named_arrays(vi.load(tmp_path / "a.json")).keys() == named_arrays(model).keys()


def test_parts_of_ones_own_need_like(tmp_path):
    model = lg.model()
    vi.save(model, tmp_path / "a")
    with pytest.raises(ValueError, match="pass like="):
        vi.load(tmp_path / "a")
    back = vi.load(tmp_path / "a", like=lg.model(seed=1))
    np.testing.assert_array_equal(back.decoder.weight, model.decoder.weight)
    with pytest.raises(vi.InputError, match=r"decoder\.weight is .*\[3, 2\] in the file, .*\[3, 1\] in the model"):
        vi.load(tmp_path / "a", like=eqx.tree_at(lambda m: m.decoder.weight, model, jnp.zeros((3, 1))))


def _rewrite(path, change):
    """As `save` would have, with another recipe."""
    from varinf._files import read_arrays, write_arrays

    arrays, head = read_arrays(path)
    write_arrays(path, arrays, {"recipe": change(head["recipe"])})


@pytest.mark.parametrize(
    "change",
    [
        lambda _: "nonsense",
        lambda _: [1, 2],
        lambda _: 3,
        lambda _: {},
        lambda r: r | {"model": "vea"},
        lambda r: r | {"model": ["vae"]},
        lambda r: r | {"likelihood": "os.system"},
        lambda r: r | {"activation": "__class__"},
        lambda r: r | {"extra": 1},
        lambda r: r | {"latent_dim": "two"},
        lambda r: r | {"latent_dim": 3},
        lambda r: r | {"latent_dim": 10**12},
        lambda r: r | {"latent_dim": 10**30},
        lambda r: r | {"latent_dim": None},
        lambda r: r | {"hidden": 7},
        lambda r: r | {"hidden": [1e400]},
        lambda r: r | {"event_shape": None},
        lambda r: r | {"event_shape": [[5]]},
        lambda r: r | {"event_shape": [-5]},
        lambda r: r | {"scale": {}},
        lambda r: {name: value for name, value in r.items() if name != "event_shape"},
    ],
)
def test_a_nonsensical_recipe_is_an_input_error(tmp_path, change):
    model, _ = build("bernoulli", (5,))
    vi.save(model, tmp_path / "a")
    _rewrite(tmp_path / "a", change)
    with pytest.raises(vi.InputError):
        vi.load(tmp_path / "a")


def test_damaged_newer_and_missing_files(tmp_path):
    model, _ = build("bernoulli", (5,))
    path = tmp_path / "a"
    with pytest.raises(vi.InputError, match="no such file"):
        vi.load(path)
    vi.save(model, path)
    head = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps(head | {"format": 99}))
    with pytest.raises(vi.InputError, match="newer varinf"):
        vi.load(path)
    vi.save(model, path)
    content = bytearray((tmp_path / "a.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(vi.InputError, match="checksum"):
        vi.load(path)
    (tmp_path / "a.safetensors").unlink()
    with pytest.raises(vi.InputError, match="no such file"):
        vi.load(path)
