from ._checkpoints import Checkpoints as Checkpoints
from ._fit import Boundary as Boundary
from ._fit import Fit as Fit
from ._fit import fit as fit
from ._ivon import ivon as ivon
from ._optimizer import make_optimizer as make_optimizer
from ._table import OPTIMIZERS as OPTIMIZERS
from ._table import SCHEDULES as SCHEDULES
