from pathlib import Path
from typing import Annotated, Any

import typer

from varinf.cli._arguments import parse_resize, parse_sizes
from varinf.errors import InputError


def _option(group: str, metavar: str, text: str) -> Any:
    return typer.Option(help=text, metavar=metavar, rich_help_panel=group)


_DATA, _MODEL, _OBJECTIVE, _TRAINING, _RUN = "Data", "Model", "Objective", "Training", "Run"


def fit(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            help="A known name (digits, mnist, fashion-mnist), a folder of PNG or JPEG images, or a .npy, .npz, IDX, "
            "CSV or Parquet file. [default: digits]",
        ),
    ] = None,
    out: Annotated[
        Path | None, _option(_RUN, "RUN", "Directory to keep everything in. [default: runs/DATA-TIME]")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run at --out.", rich_help_panel=_RUN)
    ] = False,
    resume: Annotated[
        Path | None, _option(_RUN, "RUN", "Go on with a run that was interrupted, with its own settings.")
    ] = None,
    settings: Annotated[
        Path | None,
        _option(_RUN, "FILE", "Settings in TOML, as a run keeps them in settings.toml; other options go before them."),
    ] = None,
    seed: Annotated[int | None, _option(_RUN, "N", "Seed of everything random. [default: 0]")] = None,
    test: Annotated[
        str | None,
        _option(
            _DATA,
            "DATA",
            "Rows to hold out; of data with test rows of their own, those. [default: the test rows of what is fitted, "
            "or a share of it]",
        ),
    ] = None,
    held_out: Annotated[
        float | None, _option(_DATA, "SHARE", "Share of the rows to hold out, by seed. [default: 0.2]")
    ] = None,
    resize: Annotated[
        str | None,
        _option(_DATA, "N|HxW", "Bring images to N × N pixels, or H high and W wide. [default: as they are]"),
    ] = None,
    array: Annotated[str | None, _option(_DATA, "NAME", "Array of a .npz file. [default: the only one]")] = None,
    label: Annotated[
        str | None,
        _option(
            _DATA,
            "COLUMN",
            "Column of a CSV or Parquet file that is not fitted but colours the pictures. [default: one of words that "
            "is called label, labels or class]",
        ),
    ] = None,
    target: Annotated[
        str | None,
        _option(
            _DATA,
            "COLUMN",
            "Column of a CSV or Parquet file that a classifier or a regressor predicts. [default: the labels, where "
            "the data come with them]",
        ),
    ] = None,
    model: Annotated[
        str | None,
        _option(
            _MODEL,
            "NAME",
            "vae, a variational auto-encoder; classifier or regressor, a Bayesian neural network. [default: vae]",
        ),
    ] = None,
    latent_dim: Annotated[
        int | None, _option(_MODEL, "N", "Numbers in a code; 2 makes a map of the data. [default: 16]")
    ] = None,
    network: Annotated[str | None, _option(_MODEL, "NAME", "mlp, or conv for images. [default: mlp]")] = None,
    hidden: Annotated[
        str | None,
        _option(
            _MODEL,
            "N,N,...",
            "Units of the hidden layers (mlp) or channels of the convolutions (conv), of a vae's encoder, which its "
            "decoder mirrors, or of a network. [default: 100 (mlp), 32,64 (conv); for a classifier or a regressor "
            "50 of a table, 400,400 of images (mlp)]",
        ),
    ] = None,
    activation: Annotated[
        str | None,
        _option(
            _MODEL, "NAME", "relu, leaky_relu, elu, gelu, silu, tanh, sigmoid, softplus or identity. [default: relu]"
        ),
    ] = None,
    likelihood: Annotated[
        str | None,
        _option(
            _MODEL,
            "NAME",
            "How data scatter about what the decoder or the regressor says: gaussian, heteroscedastic_gaussian, "
            "student_t, heteroscedastic_student_t, poisson or negative_binomial; of a vae also bernoulli, "
            "continuous_bernoulli, discretized_logistic or categorical. [default: by the kind of data; "
            "heteroscedastic_student_t for a regressor]",
        ),
    ] = None,
    binarize: Annotated[
        str | None,
        _option(
            _MODEL,
            "WAY",
            "Grey pixels under a bernoulli: dynamic (drawn anew at each visit), threshold, or none (soft targets; "
            "the figures are then no log-likelihoods). [default: dynamic]",
        ),
    ] = None,
    variance: Annotated[
        str | None,
        _option(
            _MODEL,
            "WAY",
            "Noise of a gaussian: per_dimension or shared, which are learned, or a known number. [default: "
            "per_dimension for tables, shared for images]",
        ),
    ] = None,
    posterior: Annotated[
        str | None,
        _option(
            _MODEL,
            "NAME",
            "q(z | x): mean_field, full_rank, low_rank or flow; q(w) of a network's weights: mean_field, "
            "low_rank or last_layer. "
            "[default: mean_field]",
        ),
    ] = None,
    prior_scale: Annotated[
        str | None,
        _option(
            _MODEL,
            "WAY",
            "Standard deviation of the normal prior of a classifier's or a regressor's weights: fan_in, which is 4 / "
            "sqrt(inputs of the layer) for a classifier and 2 / sqrt for a regressor; learned, one for each array; or "
            "a number. [default: fan_in]",
        ),
    ] = None,
    weight_draws: Annotated[
        str | None,
        _option(
            _MODEL,
            "WAY",
            "How a step sees the weights of a classifier or a regressor: weights (one draw for the batch), local (by "
            "the outputs of layers), flipout, or auto, the least noisy that the network allows. [default: auto]",
        ),
    ] = None,
    precision: Annotated[
        str | None, _option(_MODEL, "NAME", "Of matrix products: float32 or bfloat16. [default: float32]")
    ] = None,
    objective: Annotated[
        str | None,
        _option(
            _OBJECTIVE, "NAME", "elbo; iwae, the importance-weighted bound; or renyi, between the two. [default: elbo]"
        ),
    ] = None,
    num_samples: Annotated[
        int | None, _option(_OBJECTIVE, "N", "Draws of z for each row. [default: 1 (elbo), 50 (iwae), 10 (renyi)]")
    ] = None,
    alpha: Annotated[
        float | None, _option(_OBJECTIVE, "X", "Order of the renyi: at 0 it is the iwae, at 1 the elbo. [default: 0.5]")
    ] = None,
    beta: Annotated[float | None, _option(_OBJECTIVE, "X", "Weight of the KL in the loss. [default: 1]")] = None,
    beta_warmup: Annotated[
        int | None, _option(_OBJECTIVE, "N", "Epochs over which beta rises from 0. [default: 0]")
    ] = None,
    free_bits: Annotated[
        float | None, _option(_OBJECTIVE, "X", "Nats of KL in each dimension that cost nothing. [default: 0]")
    ] = None,
    kl: Annotated[
        str | None, _option(_OBJECTIVE, "WAY", "auto (exact where it can be), analytic or monte_carlo. [default: auto]")
    ] = None,
    estimator: Annotated[
        str | None,
        _option(
            _OBJECTIVE,
            "NAME",
            "Of the gradient: reparam; stl, sticking the landing (elbo); or dreg, doubly reparameterised (iwae). "
            "[default: reparam]",
        ),
    ] = None,
    epochs: Annotated[
        int | None, _option(_TRAINING, "N", "Passes over the data, at most. [default: by the number of rows]")
    ] = None,
    patience: Annotated[
        int | None,
        _option(
            _TRAINING,
            "N",
            "Stop after N epochs without a better bound on held-out rows, and keep the best model. [default: a quarter "
            "of --epochs, at least 5]",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        _option(
            _TRAINING, "N", "Rows in a step. [default: 128; 64 below 4096 rows, and for a classifier or a regressor]"
        ),
    ] = None,
    optimizer: Annotated[
        str | None, _option(_TRAINING, "NAME", "adam, adamax, adabelief, lion, rmsprop or sgd. [default: adam]")
    ] = None,
    learning_rate: Annotated[
        float | None, _option(_TRAINING, "X", "At its highest. [default: 0.003; 0.01 for a classifier or a regressor]")
    ] = None,
    schedule: Annotated[
        str | None,
        _option(
            _TRAINING,
            "NAME",
            "How the learning rate falls: constant, cosine, linear or exponential. [default: cosine]",
        ),
    ] = None,
    warmup_epochs: Annotated[
        int | None, _option(_TRAINING, "N", "Epochs over which the learning rate rises from 0. [default: 0]")
    ] = None,
    clip_norm: Annotated[
        float | None, _option(_TRAINING, "X", "Largest norm of a step's gradient. [default: not clipped]")
    ] = None,
) -> None:
    """Fit a variational auto-encoder, or a Bayesian network that predicts a class or a number (--model), evaluate it
    on held-out rows, and draw pictures of it.

    Every option can be left out: what depends on the data is then chosen by the kind of data, and said. The directory
    of the run keeps settings, metrics, checkpoints, model, results and pictures. A run that was stopped, by whatever,
    goes on with --resume RUN, and ends with the same model to the last bit.

    \b
    Examples:
      varinf fit
      varinf fit fashion-mnist --latent-dim 20 --hidden 400 --epochs 30
      varinf fit photos/ --resize 32 --network conv --out runs/photos
      varinf fit table.csv --label species --latent-dim 2
      varinf fit table.csv --model classifier --target species
      varinf fit houses.parquet --model regressor --target price
      varinf fit --resume runs/photos
    """
    options = {
        "source": source, "test": test, "array": array, "label": label, "target": target,
        "model": model, "prior_scale": prior_scale, "weight_draws": weight_draws, "resize": parse_resize(resize),
        "held_out": held_out, "latent_dim": latent_dim, "hidden": parse_sizes(hidden), "network": network,
        "activation": activation, "likelihood": likelihood, "posterior": posterior, "binarize": binarize,
        "variance": variance, "precision": precision, "objective": objective, "num_samples": num_samples,
        "alpha": alpha, "beta": beta, "beta_warmup": beta_warmup, "free_bits": free_bits, "kl": kl,
        "estimator": estimator, "optimizer": optimizer, "learning_rate": learning_rate, "schedule": schedule,
        "warmup_epochs": warmup_epochs, "clip_norm": clip_norm, "batch_size": batch_size, "epochs": epochs,
        "patience": patience, "seed": seed,
    }  # fmt: skip
    # What follows loads pydantic, then JAX; a page of help needs neither.
    from varinf.cli._session import begin, carry_out

    if resume is None:
        carry_out(begin(options, settings, out, overwrite=overwrite), new=True)
        return
    others = [name for name, value in options.items() if value is not None]
    if others or settings or out or overwrite:
        raise InputError("--resume goes on with the settings of the run; leave out DATA and the other options")
    from varinf.run import Run

    carry_out(Run.open(resume), new=False)
