"""Flows as posteriors: their density against its definition, and what a fit with them reaches."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import varinf as vi
from varinf import distributions as vd
from varinf._tree import trainable
from varinf.errors import InputError
from varinf.networks import MLP, MaskedMLP
from varinf.objectives import ELBO, IWAE, Batch, value_and_grad
from varinf.posteriors import POSTERIORS, Amortized, AutoregressiveFlow, CouplingFlow

KEY = jax.random.key(0)
FLOWS = [AutoregressiveFlow(hidden=(8,), context=2), CouplingFlow(hidden=(8,), context=2)]
flows = pytest.mark.parametrize("family", FLOWS, ids=["autoregressive", "coupling"])


def wild(tree, spread=0.4):
    """Weights that are nothing like those of the start."""
    leaves, structure = jax.tree.flatten(tree)
    rng = np.random.default_rng(0)
    moved = [jnp.asarray(np.asarray(leaf) + spread * rng.normal(size=leaf.shape), leaf.dtype) for leaf in leaves]
    return jax.tree.unflatten(structure, moved)


def member(family, dim, batch=()):
    """A family with such weights, and parameters of some of its members."""
    family = wild(family.built(dim, key=KEY))
    return family, wild(np.broadcast_to(family.standard(dim), (*batch, family.num_parameters(dim))))


@flows
@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.usefixtures("float64")
def test_the_density_integrates_to_one(family, dim):
    family = wild(family.built(dim, key=KEY), 0.2)
    q = family(wild(family.standard(dim)))
    z = np.asarray(jax.jit(lambda: q.from_noise(jax.random.normal(KEY, (2000, dim)))[0])())
    # a trapezoidal rule over a box far beyond the draws; a log-determinant that is left out gives 0.3 to 3
    axes = [np.linspace(a, b, 251) for a, b in zip(z.min(0) - 2 * z.std(0), z.max(0) + 2 * z.std(0), strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    assert np.exp(jax.jit(q.log_prob)(grid)).sum() * cell == pytest.approx(1, abs=2e-3)


@flows
@pytest.mark.parametrize("dim", [1, 4])
@pytest.mark.usefixtures("float64")
def test_draws_and_their_density(family, dim):
    family, parameters = member(family, dim)
    rng = np.random.default_rng(1)
    noise = jnp.asarray(2 * rng.normal(size=(300, dim)))
    shift, tril = jnp.asarray(rng.normal(size=dim)), jnp.asarray(np.tril(rng.normal(size=(dim, dim))) + 3 * np.eye(dim))

    @jax.jit
    def all_of_it(family, parameters, noise):
        q, moved = family(parameters), family.moved(parameters, shift, tril)
        u, log_det = q.from_noise(noise)
        jacobians = jax.vmap(jax.jacfwd(lambda e: q.from_noise(e)[0]))(noise)
        scaled = family.moved(parameters, shift, jnp.diagonal(tril)).log_prob(shift + u * jnp.diagonal(tril))
        used = family.from_noise(parameters, noise), family.entropy(parameters, noise)
        densities = q.log_prob(u), moved.log_prob(shift + u @ tril.T), scaled
        return u, log_det, jacobians, q.to_noise(u), densities, used

    u, log_det, jacobians, back, (log_q, moved, scaled), (again, entropy) = all_of_it(family, parameters, noise)
    np.testing.assert_allclose(back[0], noise, atol=1e-8)
    np.testing.assert_allclose(back[1], log_det, atol=1e-8)
    np.testing.assert_allclose(np.linalg.slogdet(jacobians)[1], log_det, atol=1e-8)
    # each component depends on each
    assert (jacobians != 0).any(0).all()
    # the change of variables
    np.testing.assert_allclose(moved, log_q - np.log(np.diagonal(tril)).sum(), atol=1e-8)
    np.testing.assert_allclose(scaled, log_q - np.log(np.diagonal(tril)).sum(), atol=1e-8)
    # what `infer` uses
    np.testing.assert_allclose(again, u, rtol=1e-10)
    surplus = 0.5 * (noise**2).sum(-1).mean() - 0.5 * dim
    np.testing.assert_allclose(entropy + surplus, -log_q.mean(), atol=1e-8)


def test_a_component_depends_on_those_before_it():
    network = wild(MaskedMLP(4, 3, (7, 5), context=2, key=KEY))
    first, last = wild(AutoregressiveFlow(hidden=(2,), context=0).built(4, key=KEY)).layers

    @jax.jit
    def jacobians(x, context):
        of_layers = [jax.jacfwd(lambda u, layer=layer: layer.forward(u, jnp.zeros(0))[0])(x) for layer in (first, last)]
        return *jax.jacfwd(network, (0, 1))(x, context), *of_layers

    of_x, of_context, of_first, of_last = map(np.asarray, jacobians(jnp.arange(4.0) / 3, jnp.ones(2)))
    before = np.tril(np.ones((4, 4), bool), -1)
    np.testing.assert_array_equal(of_x != 0, np.broadcast_to(before[:, None], (4, 3, 4)))
    # and all but the first on the context
    assert (of_context[1:] != 0).all()
    # the second layer takes the components from the last
    np.testing.assert_array_equal(of_first != 0, np.tril(np.ones((4, 4))))
    np.testing.assert_array_equal(of_last != 0, np.triu(np.ones((4, 4))))
    with pytest.raises(InputError, match=r"at least 3 units in each layer, for 4 components, got \(7, 2\)"):
        MaskedMLP(4, 3, (7, 2), key=KEY)


@flows
def test_the_start_is_the_identity(family):
    fresh = family.built(3, key=KEY)
    parameters = jax.random.normal(KEY, (fresh.num_parameters(3),))
    noise = jax.random.normal(KEY, (10, 3))

    @eqx.filter_jit
    def all_of_it(fresh):
        q = fresh(fresh.standard(3))

        def bent(fresh):
            u = fresh.from_noise(fresh.standard(3), jnp.concatenate([noise, -noise]))
            return ((u[:, 1:] - u[:, :1] ** 2) ** 2).sum()

        return q.mean, q.variance, fresh.from_noise(parameters, noise), eqx.filter_grad(bent)(fresh)

    mean, variance, u, gradient = all_of_it(fresh)
    np.testing.assert_allclose(u, parameters[:3] + jax.nn.softplus(parameters[3:6]) * noise, atol=1e-5)
    np.testing.assert_allclose(mean, 0, atol=1e-5)
    np.testing.assert_allclose(variance, 1, atol=1e-4)
    # weights at 0 are learned from at once
    assert np.abs(gradient.layers[0].network.layers[-1].weight).max() > 0.1


@flows
def test_batches(family):
    family, parameters = member(family, 3, (4, 2))
    assert (family(parameters).batch_shape, family(parameters).event_shape) == ((4, 2), (3,))

    @jax.jit
    def all_of_it(parameters):
        q, one = family(parameters), family(parameters[2, 1])
        z, known = q.sample_with_intermediates(KEY, (6,))
        of_one = one.log_prob(z[:, 2, 1]), one.mean, one.variance, one.sample(KEY, (20_000,))
        return z, q.log_prob(z, known), q.log_prob(z), q.mean, q.variance, *of_one

    z, known, log_q, mean, variance, *of_one = map(np.asarray, all_of_it(parameters))
    assert z.shape == (6, 4, 2, 3)
    np.testing.assert_allclose(known, log_q, atol=1e-3)
    assert mean.shape == variance.shape == (4, 2, 3)
    for ours, theirs in zip((log_q[:, 2, 1], mean[2, 1], variance[2, 1]), of_one[:3], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)
    # of 1024 draws the mean is off by 1/32 of a standard deviation; five times that is never
    spread = of_one[-1].std(0)
    assert (np.abs(mean[2, 1] - of_one[-1].mean(0)) < 0.15 * spread).all()
    np.testing.assert_allclose(np.sqrt(variance[2, 1]), spread, rtol=0.2)


def test_what_cannot_be():
    with pytest.raises(InputError, match=r"call built\(dim, key=key\) first"):
        AutoregressiveFlow()(jnp.zeros(12))
    with pytest.raises(InputError, match="expected the sizes of one or more layers"):
        CouplingFlow(hidden=())
    with pytest.raises(InputError, match="num_layers must be at least 1"):
        CouplingFlow(num_layers=0)


# --- amortised ------------------------------------------------------------------------------------------------------


def build(posterior):
    """A VAE in two parts, the trained one with such weights."""
    rest = {"event_shape": (5,), "latent_dim": 2, "hidden": (4,), "likelihood": "gaussian"}
    model = vi.VAE.build(posterior=posterior, **rest, key=KEY)
    params, fixed = eqx.partition(model, trainable(model))
    return wild(params, 0.2), fixed


@pytest.mark.parametrize("posterior", ["flow", "coupling_flow"])
def test_with_stopped_parameters_the_gradient_is_the_same_on_average(posterior):
    params, fixed = build(posterior)
    x = jax.random.normal(KEY, (1, 5))
    batch = Batch(x, np.arange(1), np.ones(1, bool), np.asarray(1), np.asarray(0))

    @eqx.filter_jit
    def all_of_it(params):
        objectives = ELBO(4000), ELBO(4000, estimator="stl"), IWAE(8, estimator="dreg")
        return [value_and_grad(objective, params, fixed, batch, key=KEY)[1:3] for objective in objectives]

    (plain, of_plain), (stopped, of_stopped), (_, of_dreg) = all_of_it(params)
    # the same draws, of which ln q comes with them or by the inverse
    assert float(plain["elbo"]) == pytest.approx(float(stopped["elbo"]), abs=1e-3)
    ours, theirs = (
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(grad.encoder)]) for grad in (of_plain, of_stopped)
    )
    # they differ by 0.3 % and 1.4 %, and by nothing were the parameters not stopped
    assert 1e-4 < np.linalg.norm(ours - theirs) / np.linalg.norm(theirs) < 0.05
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(of_dreg))


class Bent(eqx.Module):
    """x = z₁² + z₂ + noise, so that the posterior is bent."""

    def __call__(self, z):
        return vd.MultivariateNormalDiag(z[..., :1] ** 2 + z[..., 1:], jnp.full(1, 0.3))


def test_it_comes_closer_than_independent_normals():
    x = jnp.linspace(-2, 1, 32)[:, None]
    prior = vd.MultivariateNormalDiag(jnp.zeros(2), jnp.ones(2))
    batch = Batch(x, jnp.arange(32), jnp.ones(32, bool), jnp.asarray(32), jnp.asarray(0))
    # ln p(x) by a sum over z₁, with z₂ integrated out
    z1 = jnp.linspace(-6, 6, 2001)
    log_joint = -0.5 * (x - z1**2) ** 2 / 1.09 - 0.5 * np.log(1.09) - 0.5 * z1**2 - np.log(2 * np.pi)
    evidence = (jax.nn.logsumexp(log_joint, axis=1) + jnp.log(z1[1] - z1[0])).mean()
    optimizer = optax.adam(2e-2)
    gaps = {}
    for name in ("mean_field", "flow"):
        family = POSTERIORS[name]().built(2, key=KEY)
        network = MLP((1,), (family.num_parameters(2),), (8,), activation="tanh", key=KEY)
        model = vi.VAE(prior, Amortized(network, family, lambda x: x), Bent())
        params, fixed = eqx.partition(model, trainable(model))

        @eqx.filter_jit
        def fitted(params, fixed=fixed):
            def step(carry, key):
                params, state = carry
                _, metrics, gradient, _ = value_and_grad(ELBO(8, kl="monte_carlo"), params, fixed, batch, key=key)
                updates, state = optimizer.update(gradient, state)
                return (optax.apply_updates(params, updates), state), metrics["elbo"]

            return jax.lax.scan(step, (params, optimizer.init(params)), jax.random.split(KEY, 400))[1][-100:].mean()

        gaps[name] = float(evidence - fitted(params))
    # 0.40 and 0.037 nats
    assert gaps["mean_field"] > 0
    assert gaps["flow"] < 0.25 * gaps["mean_field"]


def test_saved_and_loaded(tmp_path):
    model = eqx.combine(*build("flow"))
    vi.save(model, tmp_path / "model")
    x = np.random.default_rng(0).normal(size=(3, 5))
    code = eqx.filter_jit(lambda model: model.encode(x).mean)
    np.testing.assert_array_equal(code(model), code(vi.load(tmp_path / "model")))


def test_the_names():
    assert POSTERIORS["flow"] is POSTERIORS["autoregressive_flow"] is AutoregressiveFlow
    assert POSTERIORS["coupling_flow"] is CouplingFlow
