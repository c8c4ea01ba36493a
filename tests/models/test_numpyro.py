"""NumPyro models as densities: subsampled plates, and discrete sites summed out."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro import distributions as dist
from numpyro.infer.util import log_density
from scipy import special, stats

import varinf as vi
from varinf._compiled import compiled
from varinf.models import NumpyroModel

pytestmark = pytest.mark.usefixtures("float64")

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).normal(size=(7, 2)))
Y = jnp.asarray(np.random.default_rng(1).normal(size=(7, 3)))


def latents(model):
    return np.random.default_rng(2).normal(size=jax.eval_shape(lambda: model.start).shape)


@eqx.filter_jit
def density_and_values(model, z):
    return jax.value_and_grad(model.log_density)(z), model.constrain(z)


def table(x, y, some_rows=None, some_columns=None):
    """A latent for each row, one for each column, global ones of several supports; two plates across each other."""
    w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    columns = numpyro.plate("columns", 3, subsample_size=some_columns, dim=-1)
    with columns as j:
        level = numpyro.sample("level", dist.Gamma(2.0, 1.0))
    with numpyro.plate("rows", 7, subsample_size=some_rows, dim=-2) as i:
        share = numpyro.sample("share", dist.Dirichlet(jnp.ones(3)))
        with columns:
            numpyro.sample("y", dist.Normal((x[i] @ w)[:, None] + share[..., 0] + level, scale), obs=y[i][:, j])


@pytest.mark.parametrize(("rows", "columns"), [(3, None), (3, 2), (7, 2), (1, 1)])
def test_a_subsampled_plate_has_the_density_of_all_its_rows(rows, columns):
    """Without NumPyro's scale the likelihood of three rows of seven would count for less than half."""
    whole = NumpyroModel(table, (X, Y), {})
    sub = NumpyroModel(table, (X, Y, rows, columns), {})
    z = latents(whole)
    (found, expected), (found_values, expected_values) = zip(
        *(density_and_values(m, z) for m in (sub, whole)), strict=True
    )
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-9)
    assert set(found_values) == set(expected_values)
    for name, values in expected_values.items():
        np.testing.assert_allclose(found_values[name], values, rtol=1e-12)


def normal_mean(x, some=None):
    mean = numpyro.sample("mean", dist.Normal(0, 2))
    with numpyro.plate("rows", len(x), subsample_size=some) as rows:
        numpyro.sample("x", dist.Normal(mean, 1.5), obs=x[rows])


def test_a_minibatched_model_has_the_optimum_of_the_full_one():
    x = np.array([0.5, -1.2, 0.3, 2.1, 1.4])  # not JAX's, and the plate's rows are traced; TABLES.md, exact cases
    found = vi.infer(normal_mean, x, 2, key=KEY)
    assert found.converged
    # two rows of five, unscaled, would leave a posterior nearly twice as wide
    assert found.elbo == pytest.approx(-9.1949151, abs=1e-6)
    np.testing.assert_allclose(found.posterior.mean, [0.5573034], atol=1e-6)
    np.testing.assert_allclose(np.sqrt(found.posterior.variance), [0.6359987], atol=1e-6)


def bounded():
    """Supports whose bounds are worked out in the model, of another latent too; a prior that has no draws."""
    height = numpyro.sample("height", dist.HalfNormal(1.0))
    numpyro.sample("x", dist.Uniform(0.0, height))
    numpyro.sample("pair", dist.Uniform(-jnp.ones(2), jnp.array([1.0, 5.0])).to_event(1))
    numpyro.sample("truncated", dist.TruncatedNormal(low=jnp.zeros(2), high=jnp.array([2.0, 3.0])))
    numpyro.sample("log_uniform", dist.LogUniform(jnp.array(1.0), jnp.array(3.0)))
    numpyro.sample("improper", dist.ImproperUniform(dist.constraints.positive, (), ()))


def test_bounds_that_are_worked_out_in_the_model():
    model = NumpyroModel(bounded, (), {})
    z = latents(model)
    found, values = jax.jit(lambda z: (model.log_density(z), model.constrain(z)))(z)
    share = special.expit(z[1:7])
    height = np.exp(z[0])
    np.testing.assert_allclose(values["x"], height * share[0], rtol=1e-12)
    np.testing.assert_allclose(values["pair"], [-1 + 2 * share[1], -1 + 6 * share[2]], rtol=1e-12)
    np.testing.assert_allclose(values["truncated"], [2, 3] * share[3:5], rtol=1e-12)
    np.testing.assert_allclose(values["log_uniform"], 1 + 2 * share[5], rtol=1e-12)
    np.testing.assert_allclose(values["improper"], np.exp(z[7]), rtol=1e-12)
    # a uniform prior's density and its bounds' part of the log-determinant cancel
    expected = stats.halfnorm.logpdf(height) + z[0] + np.log(share * (1 - share)).sum() + z[7]
    expected += stats.truncnorm.logpdf([2, 3] * share[3:5], 0, [2, 3]).sum() + np.log(2 * 3)
    expected += stats.loguniform.logpdf(1 + 2 * share[5], 1, 3) + np.log(2)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def grouped(group, y, size, names):
    """All that is done with the arguments needs their values while the model is traced."""
    mean = numpyro.sample("mean", dist.Normal(0, 1))
    with numpyro.plate("groups", int(group.max()) + 1):
        level = numpyro.sample("level", dist.Normal(mean, 1))
    with numpyro.plate("names", len(np.unique(names)) if y[0] > 0 else 1):
        numpyro.sample("other", dist.Normal(0, 1))
    known = ~np.isnan(y)
    with numpyro.plate("rows", size, subsample_size=size - 1) as rows:
        numpyro.sample("y", dist.Normal(level[jnp.asarray(group[known])[rows]], 1), obs=jnp.asarray(y[known])[rows])


def test_arguments_that_the_model_needs_to_know(compilations):
    y, group = np.array([0.5, -1.0, np.nan, 2.0]), np.array([0, 0, 1, 1])
    model = NumpyroModel(grouped, (group, y), {"size": np.int64(3), "names": np.array(["a", "b", "b"])})
    assert model.sites == (("mean", ()), ("level", (2,)), ("other", (2,)))
    density = compiled(lambda model, z: model.log_density(z))
    z = np.array([0.3, -0.2, 0.9, 1.0, -2.0])
    expected = stats.norm.logpdf(z[[0, 3, 4]]).sum() + stats.norm.logpdf(z[1:3], z[0]).sum()
    expected += stats.norm.logpdf([0.5, -1, 2], z[[1, 1, 2]]).sum()
    np.testing.assert_allclose(density(model, z), expected, rtol=1e-12)
    once = len(compilations)
    density(model, z + 1)
    assert len(compilations) == once


def mixture(x, trials):
    share = numpyro.sample("share", dist.Beta(2.0, 2.0))
    loc = numpyro.sample("loc", dist.Normal(jnp.array([-1.0, 1.0]), 1).to_event(1))
    with numpyro.plate("rows", len(x)):
        which = numpyro.sample("which", dist.Binomial(trials, share))
        numpyro.sample("x", dist.Normal(loc[which], 0.5), obs=x)


def marginal(x):
    share = numpyro.sample("share", dist.Beta(2.0, 2.0))
    loc = numpyro.sample("loc", dist.Normal(jnp.array([-1.0, 1.0]), 1).to_event(1))
    parts = dist.Normal(loc, 0.5).log_prob(x[:, None]) + jnp.log(jnp.stack([1 - share, share]))
    numpyro.factor("x", jax.nn.logsumexp(parts, axis=1).sum())


def test_a_discrete_site_is_summed_out():
    pytest.importorskip("funsor")
    x = jnp.array([-1.2, 0.8, 1.1, -0.3])
    model = NumpyroModel(mixture, (x, np.int64(1)), {})  # which must be known, to count the values that are summed over
    expected = NumpyroModel(marginal, (x,), {})
    both = compiled(lambda model, expected, z: (model.log_density(z), expected.log_density(z), model.constrain(z)))
    *found, values = both(model, expected, latents(expected))
    np.testing.assert_allclose(*found, rtol=1e-12)
    assert set(values) == {"share", "loc"}


def test_the_density_is_numpyro_s_own():
    model = NumpyroModel(table, (X, Y), {})

    @jax.jit
    def found_and_expected(z):
        values = model.constrain(z)
        log_joint, _ = log_density(table, (X, Y), {}, values)
        # the bijectors' log-determinants: exp for scale and level; Dirichlet's by the stick-breaking of its rows
        log_det = jnp.log(values["scale"]) + jnp.log(values["level"]).sum()
        simplex = dist.biject_to(dist.constraints.simplex)
        log_det += simplex.log_abs_det_jacobian(simplex.inv(values["share"]), values["share"]).sum()
        return model.log_density(z), log_joint + log_det

    np.testing.assert_allclose(*found_and_expected(latents(model)), rtol=1e-10)


def counted():
    numpyro.sample("count", dist.Poisson(3.0))
    numpyro.sample("x", dist.Normal())


def with_param():
    numpyro.sample("x", dist.Normal(numpyro.param("theta", 0.0), 1.0))


def on_a_sphere():
    numpyro.sample("direction", dist.ProjectedNormal(jnp.ones(2)))


def branching():
    x = numpyro.sample("x", dist.Normal())
    if x > 0:
        numpyro.sample("y", dist.Normal(x), obs=1.0)


def unfinished():
    raise NotImplementedError


@pytest.mark.parametrize(("model", "message"), [
    (counted, r"site 'count' is discrete \(Poisson\), with no end of values"),
    (with_param, r"site 'theta' is a param"),
    (on_a_sphere, r"site 'direction' \(ProjectedNormal\) has the support Sphere\(\), .*; reparameterise it"),
    (branching, r"these arguments: line \d+ 'if x > 0:': TracerBoolConversionError: Attempted .*jnp\.where for if"),
    (unfinished, r"these arguments: line \d+ 'raise NotImplementedError': NotImplementedError$"),
])  # fmt: skip
def test_models_that_cannot_be_inferred(model, message):
    with pytest.raises(vi.InputError, match=message):
        NumpyroModel(model, (), {})
