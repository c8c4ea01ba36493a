from varinf._table import Table

MODELS = Table("model", "varinf.models", {"vae": "VAE"})
