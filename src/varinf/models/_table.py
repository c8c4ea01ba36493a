from varinf._table import Table

MODELS = Table("model", "varinf.models", {"vae": "VAE", "bayesian_network": "BayesianNetwork", "ensemble": "Ensemble"})
# what q of a network's weights may be; other families have too many parameters for as many weights as a network has
WEIGHT_POSTERIORS = Table(
    "posterior of weights",
    "varinf.models",
    {"mean_field": "MEAN_FIELD_WEIGHTS", "low_rank": "LOW_RANK_WEIGHTS", "last_layer": "LAST_LAYER"},
)
# what p(w) may be besides N(0, s²) with a number for s
WEIGHT_PRIORS = Table("prior_scale", "varinf.models", {"fan_in": "FanInPrior", "learned": "LearnedPrior"})
