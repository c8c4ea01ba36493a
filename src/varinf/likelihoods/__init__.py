"""What data scatter by about a network's outputs, and how stored rows become what is observed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
