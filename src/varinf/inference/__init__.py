"""`infer`, the posterior of any model, and `infer_local`, that of each datum under a fixed one."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
