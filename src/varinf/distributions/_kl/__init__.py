"""Closed-form Kullback-Leibler divergences, in nats. Each file of rules enters its own in the one registry."""

from varinf.distributions._kl import _discrete as _discrete
from varinf.distributions._kl import _inflated as _inflated
from varinf.distributions._kl import _matrix as _matrix
from varinf.distributions._kl import _normal as _normal
from varinf.distributions._kl import _positive as _positive
from varinf.distributions._kl import _real as _real
from varinf.distributions._kl import _wrapped as _wrapped
from varinf.distributions._kl._registry import NoClosedForm as NoClosedForm
from varinf.distributions._kl._registry import kl_divergence as kl_divergence
from varinf.distributions._kl._registry import kl_per_dimension as kl_per_dimension
