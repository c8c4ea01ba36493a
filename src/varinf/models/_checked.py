"""What the builders of models check alike."""

import math
from typing import Any

from varinf._checks import number, sizes, whole
from varinf.errors import InputError
from varinf.likelihoods import DataOptions, refuse_options
from varinf.networks import NETWORKS, NetworkPair


def checked_network(
    network: str, event_shape: Any, hidden: Any
) -> tuple[NetworkPair, tuple[int, ...], tuple[int, ...]]:
    """A network by its name, the shape of a row and the sizes of the hidden layers, by default the network's own.

    Raises:
        InputError: an unknown name, sizes that cannot be, or rows of a rank that the network does not take.
    """
    pair, event_shape = NETWORKS[network], sizes("event_shape", event_shape)
    if len(event_shape) not in pair.event_ranks:
        raise InputError(
            f"network {network!r} takes rows of rank {' or '.join(map(str, pair.event_ranks))}, got rows of shape "
            f"{event_shape}; use network='mlp'"
        )
    return pair, event_shape, sizes("hidden", pair.hidden if hidden is None else hidden)


def checked_options(
    likelihood: str,
    *,
    scale: Any = 1.0,
    binarize: str | None = None,
    variance: Any = None,
    num_values: Any = None,
) -> DataOptions:
    """What a user says of the data and of the noise, as `DataOptions`, where the likelihood has a use for it.

    Raises:
        InputError: an unknown likelihood; an option without a meaning; a scale that is not positive and finite; what
            is no number.
    """
    refuse_options(likelihood, binarize=binarize, variance=variance, num_values=num_values)
    if not 0 < number("scale", scale) < math.inf:
        raise InputError(f"scale must be positive and finite, got {scale}")
    if variance is not None and not isinstance(variance, str):
        variance = number("variance", variance)
    if num_values is not None:
        num_values = whole("num_values", num_values)
    return DataOptions(float(scale), binarize, variance, num_values)
