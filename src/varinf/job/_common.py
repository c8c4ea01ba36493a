"""What the parts of a job share."""

import jax
from jaxtyping import Array

from varinf.config import KINDS, Settings
from varinf.kinds import AbstractKind
from varinf.run import Run


def kind_of(run: Run) -> AbstractKind:
    """The kind of model that a run's settings name."""
    return KINDS[run.settings.model.model]()


def keys(settings: Settings) -> Array:
    """For building, fitting, evaluating and snapshots."""
    return jax.random.split(jax.random.key(settings.train.seed), 4)
