from ._amortized import Amortized as Amortized
from ._family import AbstractFamily as AbstractFamily
from ._full_rank import FullRank as FullRank
from ._laplace import Laplace as Laplace
from ._low_rank import LowRank as LowRank
from ._mean_field import MeanField as MeanField
from ._table import DENSITY_POSTERIORS as DENSITY_POSTERIORS
from ._table import POSTERIORS as POSTERIORS
