"""Sources of rows: opened by name or path, described, put in order and read."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
