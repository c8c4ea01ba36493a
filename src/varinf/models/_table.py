from varinf._table import Table

MODELS = Table("model", "varinf.models", {"vae": "VAE", "bayesian_network": "BayesianNetwork"})
# the families that weights may have; the others have too many parameters for as many weights as a network has
WEIGHT_POSTERIORS = Table(
    "posterior of weights", "varinf.posteriors", {"mean_field": "MeanField", "low_rank": "LowRank"}
)
