"""Models, from their parts or by name: VAEs, Bayesian networks, NumPyro models, log densities; saved and loaded."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
