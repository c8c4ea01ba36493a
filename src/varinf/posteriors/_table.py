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
# and those that only a known density has, of which there is one q
DENSITY_POSTERIORS = Table("posterior", "varinf.posteriors", _FAMILIES | {"laplace": "Laplace"})
