"""The activation functions, by the names of the table."""

from jax.nn import elu as elu
from jax.nn import gelu as gelu
from jax.nn import identity as identity
from jax.nn import leaky_relu as leaky_relu
from jax.nn import relu as relu
from jax.nn import sigmoid as sigmoid
from jax.nn import silu as silu
from jax.numpy import tanh as tanh

from varinf.distributions import softplus as softplus
