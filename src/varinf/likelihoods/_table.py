from varinf._table import Table

_NUMBERS = {
    "gaussian": "Gaussian",
    "heteroscedastic_gaussian": "HeteroscedasticGaussian",
    "heteroscedastic_student_t": "HeteroscedasticStudentT",
    "student_t": "StudentT",
    "poisson": "Poisson",
    "negative_binomial": "NegativeBinomial",
}
LIKELIHOODS = Table(
    "likelihood",
    "varinf.likelihoods",
    {
        "bernoulli": "Bernoulli",
        "continuous_bernoulli": "ContinuousBernoulli",
        "discretized_logistic": "DiscretizedLogistic",
        "categorical": "Categorical",
        **_NUMBERS,
    },
)
# those of a number that a network predicts
NUMBER_LIKELIHOODS = Table("likelihood of a number", "varinf.likelihoods", _NUMBERS)
# the one that is taken where none is named; for the evidence see `varinf/estimators/_defaults.py`
NUMBER_LIKELIHOOD = "heteroscedastic_student_t"

# Options that mean something to one likelihood alone; the others would pass them over without a word.
LIKELIHOOD_OF = {"binarize": "bernoulli", "variance": "gaussian"}
