"""Families of q: of the codes of a VAE, of weights, of the latents of any model."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
