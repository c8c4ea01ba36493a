"""`fit`: one compiled loop for every model and objective, with its optimisers, schedules and checkpoints."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
