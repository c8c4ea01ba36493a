from varinf._table import Table

# By the kind of a run's model: what draws a fit.
PICTURES = Table(
    "model",
    "varinf.report",
    {
        "vae": "write_pictures",
        "classifier": "write_classifier_pictures",
        "regressor": "write_regressor_pictures",
    },
)
