from varinf._table import Table

# Each name stands for a `NetworkPair`: what builds the two networks of a VAE, and that of a Bayesian network.
NETWORKS = Table("network", "varinf.networks", {"mlp": "MLP_PAIR", "conv": "CONV_PAIR"})
