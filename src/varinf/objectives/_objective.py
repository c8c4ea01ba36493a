import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from varinf.objectives._terms import Batch, Request, Terms

Metrics = dict[str, Float[Array, ""]]


class AbstractObjective(eqx.Module):
    """What a fit minimises: a loss made of a model's `Terms`.

    Attributes:
        bound: the metric that early stopping watches, a lower bound on ln p(x) per datum in nats.
    """

    bound: eqx.AbstractVar[str]

    @property
    @abc.abstractmethod
    def request(self) -> Request:
        """What it asks of a model."""

    @abc.abstractmethod
    def loss(self, terms: Terms) -> tuple[Float[Array, ""], Metrics]:
        """The loss per datum, and metrics per datum in nats, among them `bound`.

        Where draws are not reparameterised, the loss has score-function terms, which are zero but for their gradient.

        Raises:
            ValueError: the objective is not valid for a model with such latents.
        """

    @abc.abstractmethod
    def draw_gradient(self, terms: Terms, gradient: PyTree[Array]) -> PyTree[Array]:
        """The gradient of the loss with respect to the draws, as it is passed on to the posterior.

        Estimators that treat the posterior apart from the model (DReG) change it here; `gradient` has the
        structure of `Draw.latents`.
        """


def value_and_grad(
    objective: AbstractObjective, params: PyTree, fixed: PyTree, batch: Batch, *, key: PRNGKeyArray
) -> tuple[Float[Array, ""], Metrics, PyTree, Terms]:
    """Loss, metrics, gradient and terms of an objective at a model and a batch, in one backward pass.

    The pass goes by hand through the model's two answers, so that an objective can act on the gradient
    between them.

    Args:
        objective: the objective.
        params: the model's trained arrays, None elsewhere.
        fixed: the rest of the model.
        batch: the rows.
        key: for the draws.

    Returns:
        The loss and the metrics, per datum in nats; the gradient of the loss, a tree like `params`; and the terms that
        all three were made of.
    """

    def draw(params: PyTree) -> Any:
        return eqx.combine(params, fixed).draw(batch, objective.request, key=key)

    def score(params: PyTree, drawn: Any) -> Any:
        terms = eqx.combine(params, fixed).score(batch, drawn, objective.request)
        loss, metrics = objective.loss(terms)
        return loss, (metrics, terms)

    drawn, pull_draw = eqx.filter_vjp(draw, params)
    loss, pull_score, (metrics, terms) = eqx.filter_vjp(score, params, drawn, has_aux=True)
    from_score, from_drawn = pull_score(jnp.ones_like(loss))
    latents = objective.draw_gradient(terms, from_drawn.latents)
    # None in the place of whole numbers, which have no gradient
    from_drawn = eqx.tree_at(lambda d: d.latents, from_drawn, latents, is_leaf=lambda node: node is None)
    (from_draw,) = pull_draw(from_drawn)
    return loss, metrics, jax.tree.map(jnp.add, from_score, from_draw), terms
