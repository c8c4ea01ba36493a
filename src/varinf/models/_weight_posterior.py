from typing import NamedTuple

from varinf.posteriors import AbstractFamily, FullRank, LowRank, MeanField


class WeightPosterior(NamedTuple):
    """What q of the weights of a network that is built by name is.

    Attributes:
        family: of q.
        last_layer: whether only the last layer is random, and all else is point estimates, without a prior.
    """

    family: type[AbstractFamily]
    last_layer: bool = False


MEAN_FIELD_WEIGHTS = WeightPosterior(MeanField)
LOW_RANK_WEIGHTS = WeightPosterior(LowRank)
LAST_LAYER = WeightPosterior(FullRank, last_layer=True)
