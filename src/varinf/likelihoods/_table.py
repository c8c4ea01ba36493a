from varinf._table import Table

LIKELIHOODS = Table(
    "likelihood",
    "varinf.likelihoods",
    {
        "bernoulli": "Bernoulli",
        "continuous_bernoulli": "ContinuousBernoulli",
        "gaussian": "Gaussian",
        "heteroscedastic_gaussian": "HeteroscedasticGaussian",
        "student_t": "StudentT",
        "discretized_logistic": "DiscretizedLogistic",
        "categorical": "Categorical",
        "poisson": "Poisson",
        "negative_binomial": "NegativeBinomial",
    },
)

# Options that mean something to one likelihood alone; the others would pass them over without a word.
LIKELIHOOD_OF = {"binarize": "bernoulli", "variance": "gaussian"}
