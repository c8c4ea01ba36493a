from ._amortized import Amortized as Amortized
from ._full_rank import FullRank as FullRank
from ._mean_field import MeanField as MeanField
from ._table import POSTERIORS as POSTERIORS
