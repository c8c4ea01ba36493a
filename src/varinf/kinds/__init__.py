"""The kinds of model that the command line fits: what of a run depends on them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
