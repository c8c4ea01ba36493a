from ._elbo import Bound as Bound
from ._elbo import elbo as elbo
from ._log_likelihood import LogLikelihood as LogLikelihood
from ._log_likelihood import log_likelihood as log_likelihood
from ._rows import row_blocks as row_blocks
