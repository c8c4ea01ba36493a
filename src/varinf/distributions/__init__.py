"""NumPyro's distributions, with what they lack, under one roof. `from varinf import distributions as vd`."""

from numpyro.distributions import *  # noqa: F403

from varinf.distributions._bernoulli import Bernoulli as Bernoulli
from varinf.distributions._categorical import Categorical as Categorical
from varinf.distributions._continuous_bernoulli import ContinuousBernoulli as ContinuousBernoulli
from varinf.distributions._diag_normal import MultivariateNormalDiag as MultivariateNormalDiag
from varinf.distributions._discretized_logistic import DiscretizedLogistic as DiscretizedLogistic
from varinf.distributions._discretized_logistic_mixture import DiscretizedLogisticMixture as DiscretizedLogisticMixture
from varinf.distributions._flow import FlowDistribution as FlowDistribution
from varinf.distributions._independent import Independent as Independent
from varinf.distributions._kl import NoClosedForm as NoClosedForm
from varinf.distributions._kl import kl_divergence as kl_divergence
from varinf.distributions._kl import kl_per_dimension as kl_per_dimension
from varinf.distributions._low_rank_normal import LowRankMultivariateNormal as LowRankMultivariateNormal
from varinf.distributions._mixture import Mixture as Mixture
from varinf.distributions._mixture import MixtureGeneral as MixtureGeneral
from varinf.distributions._mixture import MixtureSameFamily as MixtureSameFamily
from varinf.distributions._negative_binomial import NegativeBinomialLogMean as NegativeBinomialLogMean
from varinf.distributions._poisson import PoissonLogRate as PoissonLogRate
from varinf.distributions._softplus import softplus as softplus
from varinf.distributions._student_t import StudentT as StudentT
from varinf.distributions._tril_normal import MultivariateNormalTriL as MultivariateNormalTriL
