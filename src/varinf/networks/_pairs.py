"""The two networks of a VAE, built together: one towards the code, its mirror image back to the data."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array

from varinf.networks._mlp import MLP


class NetworkPair(NamedTuple):
    """Builders of an encoder's and a decoder's network.

    Attributes:
        encoder: `(in_shape, out_size, hidden, activation=, dtype=, key=)` -> network to a vector.
        decoder: `(in_size, out_shape, hidden, activation=, dtype=, key=)` -> network from a vector, with a
            method `with_output_bias`; `hidden` is given in the encoder's order.
        hidden: the sizes taken when none are given.
        event_ranks: ranks of the data that it can take.
        last_layer: encoder's network -> the part of it that is its last layer.
    """

    encoder: Callable[..., Callable[[Array], Array]]
    decoder: Callable[..., Any]
    hidden: tuple[int, ...]
    event_ranks: tuple[int, ...]
    last_layer: Callable[[Any], Any]


MLP_PAIR = NetworkPair(
    encoder=lambda in_shape, out_size, hidden, **rest: MLP(in_shape, (out_size,), hidden, **rest),
    decoder=lambda in_size, out_shape, hidden, **rest: MLP((in_size,), out_shape, hidden[::-1], **rest),
    hidden=(100,),
    event_ranks=(1, 2, 3),
    last_layer=lambda network: network.layers[-1],
)
