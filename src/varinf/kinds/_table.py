from varinf._table import Table

KINDS = Table("model", "varinf.kinds", {"vae": "VAEKind", "classifier": "Classifier", "regressor": "Regressor"})

# Settings that mean something to some kinds of model alone; the others would pass them over without a word.
_NETWORKS = ("classifier", "regressor")
KINDS_OF = {
    "label": ("vae",),
    "target": _NETWORKS,
    "latent_dim": ("vae",),
    "binarize": ("vae",),
    "precision": ("vae",),
    "likelihood": ("vae", "regressor"),
    "variance": ("vae", "regressor"),
    "prior_scale": _NETWORKS,
    "weight_draws": _NETWORKS,
}
