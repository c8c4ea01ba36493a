"""What is maximised: bounds on ln p(x), and the record in which they meet a model."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
