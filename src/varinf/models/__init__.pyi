from ._decoder import Decoder as Decoder
from ._model import AbstractModel as AbstractModel
from ._save import from_arrays as from_arrays
from ._save import load as load
from ._save import save as save
from ._table import MODELS as MODELS
from ._vae import VAE as VAE
