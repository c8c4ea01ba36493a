import abc
from typing import ClassVar

import equinox as eqx
from jaxtyping import PRNGKeyArray

from varinf.likelihoods import AbstractObservation
from varinf.objectives import Batch, Draw, Request, Terms


class AbstractModel(eqx.Module):
    """What a fit can fit: a model of rows with hidden variables, and the posterior over them.

    It answers an objective in two stages, so that the objective can act between them. All its float arrays are
    trained, apart from those inside a Distribution or a `Constant`.

    Attributes:
        observation: how stored rows become what the model has a density over.
        learning_rate: of the Adam that a fit takes which is given no optimiser.
    """

    learning_rate: ClassVar[float] = 1e-3
    observation: eqx.AbstractVar[AbstractObservation]

    @abc.abstractmethod
    def draw(self, batch: Batch, request: Request, *, key: PRNGKeyArray) -> Draw:
        """The latents of the batch's data, drawn from the posterior so that gradients pass through, where they can."""

    @abc.abstractmethod
    def score(self, batch: Batch, draw: Draw, request: Request) -> Terms:
        """Log densities at the draws, in nats, and the KLs that are known in closed form."""
