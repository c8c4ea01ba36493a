"""The defaults of the estimators of Bayesian networks.

Those of the regressor were chosen on four UCI sets (concrete, energy, wine, yacht: 20 splits, one hidden layer of 50,
8000 steps), by the negative log-likelihood of held-out rows, in nats: 3.08, 0.77, 0.94 and 0.42 with these; 3.13, 0.77,
0.96 and 1.17 with noise of one size; 3.13, 1.40, 0.95 and 0.50 with prior scales that are learned. With ensembles of
two, 3.05, 0.75, 0.94 and 0.41; 3.02, 1.06, 0.92 and 0.69 at the classifier's learning rate. The classifier's learning
rate by scikit-learn's digits, breast cancer, wine and iris, eight splits each: 0.109, 0.077, 0.046 and 0.098, and
0.096, 0.099, 0.057 and 0.163 at the regressor's. On the three small sets its standard deviations have by then not
grown to where the bound has its maximum (an elbo of -3.2, -21.8 and -17.1; -0.6, -1.1 and -1.1 at the regressor's):
a larger `learning_rate_init` gets them there.
"""

LIKELIHOOD = "heteroscedastic_gaussian"
HIDDEN_LAYER_SIZES = (50,)
PRIOR_SCALE = 1.0
LEARNING_RATE = "cosine"
CLASSIFIER_LEARNING_RATE_INIT = 3e-3
REGRESSOR_LEARNING_RATE_INIT = 1e-2
BATCH_SIZE = 64
STEPS = 5000  # a fit has about so many, within these numbers of epochs
EPOCHS = (20, 1000)
PREDICTION_SAMPLES = 100
