from typing import Any

from varinf._table import Table
from varinf.errors import InputError

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
# the one that BayesianNetRegressor and the command line take where none is named; for the evidence see
# `varinf/estimators/_defaults.py`
NUMBER_LIKELIHOOD = "heteroscedastic_student_t"

# Options that mean something to these likelihoods alone; the others would pass them over without a word.
LIKELIHOODS_OF = {
    "binarize": ("bernoulli",),
    "variance": ("gaussian",),
    "num_values": ("categorical", "discretized_logistic"),
}


def refuse_options(likelihood: str, option: str = "{}", remedy: str = "pass likelihood={!r}", /, **given: Any) -> None:
    """Refuse options that are given, not None, and mean nothing to a likelihood.

    Args:
        likelihood: its name.
        option: how an option is written where it is given.
        remedy: how another likelihood is asked for there.
        given: options by name.

    Raises:
        InputError: there is one; or an unknown likelihood.
    """
    LIKELIHOODS.check(likelihood)
    for name, value in given.items():
        its_own = LIKELIHOODS_OF[name]
        if value is not None and likelihood not in its_own:
            raise InputError(
                f"{option.format(name)} is for a {' or '.join(its_own)} likelihood, and this one is {likelihood}; "
                f"leave it out, or {remedy.format(its_own[0])}"
            )
