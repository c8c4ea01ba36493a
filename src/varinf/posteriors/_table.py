from varinf._table import Table

_FAMILIES = {
    "mean_field": "MeanField",
    "full_rank": "FullRank",
    "low_rank": "LowRank",
    "autoregressive_flow": "AutoregressiveFlow",
    "coupling_flow": "CouplingFlow",
    "flow": "AutoregressiveFlow",
}
POSTERIORS = Table("posterior", "varinf.posteriors", _FAMILIES)
# those that a model with a code for each datum has: by an encoder, or free
LOCAL_POSTERIORS = Table("posterior", "varinf.posteriors", _FAMILIES | {"per_datum": "PerDatum"})
# and those that only a known density has, of which there is one q
DENSITY_POSTERIORS = Table("posterior", "varinf.posteriors", _FAMILIES | {"laplace": "Laplace"})
