from varinf._table import Table

OBJECTIVES = Table("objective", "varinf.objectives", {"elbo": "ELBO", "iwae": "IWAE", "renyi": "Renyi"})
