from varinf._table import Table

OPTIMIZERS = Table(
    "optimizer",
    "varinf.train._directions",
    {
        "adam": "scale_by_adam",
        "adamax": "scale_by_adamax",
        "adabelief": "scale_by_belief",
        "lion": "scale_by_lion",
        "rmsprop": "scale_by_rms",
        "sgd": "identity",
    },
)

SCHEDULES = Table(
    "schedule",
    "varinf.train._schedules",
    {name: name for name in ("constant", "cosine", "exponential", "linear")},
)
