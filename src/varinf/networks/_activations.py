from varinf._table import Table

ACTIVATIONS = Table(
    "activation",
    "varinf.networks._functions",
    {name: name for name in ("relu", "tanh", "softplus", "elu", "gelu", "silu", "leaky_relu", "sigmoid", "identity")},
)
