"""The defaults of the estimators of Bayesian networks.

Those of the regressor were chosen on four UCI sets (concrete, energy, wine, yacht: 20 splits, one hidden layer of 50),
and looked at on four others (Boston housing, diabetes, and 2000 rows each of the diamonds and the computers of R's
packages: 10 splits), by the negative log-likelihood of held-out rows, in nats:

    10,000 steps, Student t, noise by the row   3.036  .672  .857  .374    2.523  5.402  7.837  6.889
    10,000 steps, Gaussian, noise by the row    3.067  .901  .929  .382    2.534  5.403  7.899  6.896
    5000 steps, Student t, noise by the row     3.039  .878  .914  .458    2.534  5.407  7.833  6.890
    5000 steps, Gaussian, noise by the row      3.058 1.048  .932  .509    2.540  5.407  7.878  6.905

In tails an outlier costs little: with the Gaussian, energy's figure hangs on one row. Where there are no outliers, more
degrees of freedom are learned (11 on diabetes). 20,000 steps halve energy's error once more, and do little elsewhere.
Wine's targets are whole numbers, on which a density may lay peaks: its errors are the same in all four lines.

The prior is N(0, 4 / fan-in), since under N(0, 1) of every weight (Gaussian, 8000 steps: as good on the four of UCI)
Boston housing, diabetes and miles per gallon come to 2.70, 5.49 and 2.45, instead of 2.54, 5.44 and 2.42; with 100
units to 6.1, 7.8 and 3.5, instead of 2.8, 5.6 and 2.6; with two layers of 50, on the first two, to 6.4 and 6.5,
instead of 2.6 and 5.5. All of it is one effect: the prior pays for units that do nothing, and the wider the network,
the more than the data are worth (Coker et al. 2022). It is smaller under the prior that goes with the width, and not
gone: with 200 units yacht's 277 rows come out at 5.2 (8.0 under N(0, 1)), and a wide network needs more rows. Under
N(0, 1), too: noise of one size is worse on yacht (1.17 instead of .42), prior scales that are learned on energy (1.40
instead of .77), and a learning rate of .003 on both (1.06, .69).

That of the classifier is N(0, 16 / fan-in). On iris, wine, breast cancer, two moons (400 rows) and digits of
scikit-learn, six splits each, four of digits; then with two layers of 200 on iris, breast cancer and digits:

    4 / sqrt(fan-in)                  .069  .048  .088  .176  .133    .115  .133  .132
    6 / sqrt(fan-in)                  .063  .043  .103  .176  .117    .079  .283  .104
    1                                 .070  .047  .129  .177  .112          .533  .223
    1, learning rate .003             .077  .059  .093  .193  .113          .106  .105

In the last line the standard deviations have not grown to where the bound has its maximum (an elbo of -7.1, -4.5, -3.2,
-.9 and -3.0; -157 and -59 with two layers of 200), which in the first they have (-.9, -.9, -.4, -.7 and -.8; -1.3 and
-1.9). On Fashion-MNIST with two layers of 400 the first line has .400 and an elbo of -.59, the last .428 and -1.12.
"""

HIDDEN_LAYER_SIZES = (50,)
LEARNING_RATE = "cosine"
LEARNING_RATE_INIT = 1e-2
BATCH_SIZE = 64
CLASSIFIER_STEPS = 5000  # a fit has about so many, within these numbers of epochs
REGRESSOR_STEPS = 10_000
EPOCHS = (20, 2000)
PREDICTION_SAMPLES = 100
