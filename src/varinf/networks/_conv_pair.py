from varinf.networks._conv import ConvDecoder, ConvEncoder
from varinf.networks._pairs import NetworkPair

CONV_PAIR = NetworkPair(
    encoder=ConvEncoder,
    decoder=ConvDecoder,
    hidden=(32, 64),
    event_ranks=(2, 3),
    last_layer=lambda network: (network.weights[-1], network.biases[-1]),
)
