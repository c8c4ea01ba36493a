"""The defaults of the estimators of Bayesian networks."""

HIDDEN_LAYER_SIZES = (50,)
PRIOR_SCALE = 1.0
LEARNING_RATE = "cosine"
LEARNING_RATE_INIT = 1e-2
STEPS = 3000  # a fit has about so many, within these numbers of epochs
EPOCHS = (20, 1000)
PREDICTION_SAMPLES = 100
