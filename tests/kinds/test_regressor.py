"""What a regressor's figures are made of."""

import numpy as np

from varinf import evaluate
from varinf.kinds._regressor import _coverage


def test_scores_of_all_rows_are_put_together_from_those_of_parts(rng, monkeypatch):
    draws, y, levels = rng.normal(size=(99, 7)), rng.normal(size=7), (0.5, 0.9)
    parts = [(rows, draws[:, rows]) for rows in (slice(0, 5), slice(5, 7))]
    monkeypatch.setattr("varinf.models.predictive_draws", lambda *_, **__: iter(parts))
    found, whole = _coverage(None, None, y, levels, 1, None), evaluate.coverage(draws, y, levels)
    for name in ("levels", "observed", "width", "crps", "num_rows"):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), rtol=1e-12)
