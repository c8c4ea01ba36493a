from varinf._table import Table

POSTERIORS = Table("posterior", "varinf.posteriors", {"mean_field": "MeanField", "full_rank": "FullRank"})
