from varinf._table import Table

LIKELIHOODS = Table(
    "likelihood",
    "varinf.likelihoods",
    {
        "bernoulli": "Bernoulli",
        "continuous_bernoulli": "ContinuousBernoulli",
        "gaussian": "Gaussian",
        "discretized_logistic": "DiscretizedLogistic",
        "categorical": "Categorical",
        "poisson": "Poisson",
    },
)
