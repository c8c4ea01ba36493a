from typing import Any

from varinf._checks import sizes
from varinf.errors import InputError
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
