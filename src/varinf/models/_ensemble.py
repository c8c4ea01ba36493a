import functools
import json
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree
from numpyro.distributions import Independent

from varinf._checks import at_least_one, prng_key
from varinf.errors import InputError
from varinf.likelihoods import AbstractLikelihood, Supervised
from varinf.models._bayesian_network import BayesianNetwork
from varinf.models._model import AbstractModel
from varinf.models._prediction import Prediction, predict
from varinf.models._random_weights import LEARNING_RATE
from varinf.objectives import Batch, Draw, Latent, Request, Terms


class Ensemble(AbstractModel):
    """Bayesian networks that are fitted side by side, each as if it were alone, and whose predictions are averaged.

    All of them see the same batches. What a fit reports is the mean over members.

    Source: Lakshminarayanan, Pritzel and Blundell 2017; of variational posteriors, Wilson and Izmailov 2020.

    Args:
        members: networks of one structure, which differ in their arrays: made with different keys.
        own_data: whether each member has data of its own: rows with a member axis, `[n, members, ...]`.

    Raises:
        InputError: none, or networks of different structures.
    """

    learning_rate: ClassVar[float] = LEARNING_RATE
    members: BayesianNetwork
    observation: Supervised
    num_members: int = eqx.field(static=True)
    own_data: bool = eqx.field(static=True, default=False)

    def __init__(self, members: Sequence[BayesianNetwork], *, own_data: bool = False):
        if not members:
            raise InputError("an ensemble needs members; pass networks made with different keys")
        self.observation = members[0].observation
        # how rows are observed is said once; it is not theirs to be stacked
        bare = [eqx.tree_at(lambda m: m.observation, member, Supervised()) for member in members]
        if any(_shapes(member) != _shapes(bare[0]) for member in bare):
            raise InputError("expected networks of one structure in an ensemble, got different ones")
        self.members = jax.tree.map(lambda *leaves: jnp.stack(leaves) if eqx.is_array(leaves[0]) else leaves[0], *bare)
        self.num_members, self.own_data = len(members), own_data

    @classmethod
    def build(cls, *, num_members: int, key: PRNGKeyArray, **settings: Any) -> "Ensemble":
        """Members that `BayesianNetwork.build` makes, from different initial weights.

        Args:
            num_members: how many.
            key: for the initial weights.
            settings: all other arguments of `BayesianNetwork.build`.

        Raises:
            InputError: none, or a setting that `BayesianNetwork.build` refuses.
        """
        keys = jax.random.split(prng_key(key), at_least_one("num_members", num_members))
        return cls([BayesianNetwork.build(**settings, key=key) for key in keys])

    @property
    def recipe(self) -> str | None:
        """How `build` made it, as JSON, which lets `varinf.load` make it again; None for parts of one's own."""
        if self.members.recipe is None or self.own_data:
            return None
        return json.dumps(json.loads(self.members.recipe) | {"model": "ensemble", "num_members": self.num_members})

    def __getitem__(self, index: int) -> BayesianNetwork:
        """One member."""
        one = jax.tree.map(lambda leaf: leaf[index] if eqx.is_array(leaf) else leaf, self.members)
        return eqx.tree_at(lambda m: m.observation, one, self.observation)

    def draw(self, batch: Batch, request: Request, *, key: PRNGKeyArray) -> Draw:
        def one(member: BayesianNetwork, data: PyTree[Array], key: PRNGKeyArray) -> Draw:
            return member.draw(_with_data(batch, data), request, key=key)

        return self._over_members(one, batch.data, jax.random.split(key, self.num_members))

    def score(self, batch: Batch, draw: Draw, request: Request) -> Terms:
        def one(member: BayesianNetwork, data: PyTree[Array], draw: Draw) -> tuple[Array, tuple[Latent, ...]]:
            terms = member.score(_with_data(batch, data), draw, request)
            return terms.log_likelihood, terms.latents

        log_likelihood, (latent,) = self._over_members(one, batch.data, draw)
        # the members are as many samples, and the mean of their KLs the KL
        log_prior, log_posterior = latent.log_prior.reshape(-1), latent.log_posterior.reshape(-1)
        kl = None if latent.kl is None else latent.kl.mean(0)
        log_likelihood = log_likelihood.reshape(-1, log_likelihood.shape[-1]) + self.observation.log_det()
        return Terms(log_likelihood, (Latent(latent.name, log_prior, log_posterior, kl, is_global=True),), batch)

    def predict(self, x: Any, num_samples: int = 100, *, key: PRNGKeyArray) -> Prediction:
        """What the members together say of y at new inputs; `num_samples` draws of the weights of each.

        Args:
            x: inputs as they are stored, `[n, *inputs]`.
            num_samples: draws of each member's weights.
            key: for the draws.
        """
        return predict(self, x, num_samples, key=key)

    @property
    def likelihood(self) -> AbstractLikelihood:
        """What the members' outputs mean."""
        return self.members.likelihood

    def of_draw(
        self, function: Callable[[Independent, Any], Any], rows: tuple[PyTree[Array], Any], *, key: PRNGKeyArray
    ) -> Any:
        """As `BayesianNetwork.of_draw`, of each member: arrays `[members, ...]`."""

        def one(member: BayesianNetwork, rows: tuple[PyTree[Array], Any], key: PRNGKeyArray) -> Any:
            member = eqx.tree_at(lambda m: m.observation, member, self.observation)
            return jax.tree.map(lambda array: array[0], member.of_draw(function, rows, key=key))

        return self._over_members(one, rows, jax.random.split(key, self.num_members))

    def _over_members(self, function: Callable, data: PyTree[Array], each: PyTree[Array]) -> Any:
        """A function of each member, its data and what else is its own."""
        members = jax.tree.map(
            lambda leaf: _times(leaf, self.num_members) if eqx.is_inexact_array(leaf) else leaf, self.members
        )
        axes = (eqx.if_array(0), 1 if self.own_data else None, eqx.if_array(0))
        return eqx.filter_vmap(function, in_axes=axes)(members, data, each)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _times(x: Array, factor: int) -> Array:
    """x, with a gradient so many times its own.

    A member's share of the mean over members is small; with this its gradient is what it would be if it were alone.
    """
    return x


_times.defvjp(lambda x, factor: (x, None), lambda factor, _, gradient: (factor * gradient,))


def _with_data(batch: Batch, data: PyTree[Array]) -> Batch:
    return eqx.tree_at(lambda b: b.data, batch, data)


def _shapes(member: BayesianNetwork) -> Any:
    leaves, structure = jax.tree.flatten(member)
    return structure, [leaf.shape if eqx.is_array(leaf) else None for leaf in leaves]
