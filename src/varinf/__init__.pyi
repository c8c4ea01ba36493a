from . import data as data
from . import distributions as distributions
from . import evaluate as evaluate
from . import likelihoods as likelihoods
from . import networks as networks
from . import posteriors as posteriors
