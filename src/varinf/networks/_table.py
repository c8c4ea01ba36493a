from varinf._table import Table

# Each name stands for a function (encoder or decoder side) that builds the two networks of a VAE.
NETWORKS = Table("network", "varinf.networks", {"mlp": "MLP_PAIR", "conv": "CONV_PAIR"})
