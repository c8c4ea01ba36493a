from pathlib import Path
from typing import Annotated

import typer

from varinf.cli._arguments import ArrayName, Resize, parse_resize, parse_sizes
from varinf.errors import InputError

_DATA, _MODEL, _OBJECTIVE, _TRAIN, _RUN = "Data", "Model", "Objective", "Training", "Run"


def fit(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]",
            help="A known name (digits, mnist, fashion-mnist), a folder of PNG or JPEG images, or a .npy, .npz, IDX, "
            "CSV or Parquet file. The built-in digits if left out.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Directory of the run; runs/DATA-TIME if left out.")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Go on with a run that was interrupted.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run at --out.")] = False,
    settings: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Settings as a run keeps them; options go before them.")
    ] = None,
    test: Annotated[str | None, typer.Option(help="Rows to hold out, as DATA; else a share of DATA.")] = None,
    held_out: Annotated[float | None, typer.Option(help="The share of the rows to hold out. [default: 0.2]")] = None,
    array: ArrayName = None,
    resize: Resize = None,
    latent_dim: Annotated[int | None, typer.Option(help="Numbers in a code. [default: 16]")] = None,
    network: Annotated[str | None, typer.Option(help="mlp or conv. [default: mlp]")] = None,
    hidden: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...",
            help="Units of the hidden layers (mlp) or channels (conv) of the encoder; the "
            "decoder mirrors them. [default: 100, or 32,64]",
        ),
    ] = None,
    activation: Annotated[str | None, typer.Option(help="relu, tanh, silu, gelu, elu, ... [default: relu]")] = None,
    likelihood: Annotated[
        str | None,
        typer.Option(
            help="bernoulli, continuous_bernoulli, gaussian, discretized_logistic, categorical or poisson. "
            "[default: by the kind of data]"
        ),
    ] = None,
    binarize: Annotated[
        str | None,
        typer.Option(
            help="Grey pixels under a Bernoulli: dynamic (drawn anew at each visit), threshold, or none (soft "
            "targets; the result is no log-likelihood)."
        ),
    ] = None,
    variance: Annotated[
        str | None, typer.Option(help="Of a Gaussian: per_dimension, shared, or a known number.")
    ] = None,
    posterior: Annotated[str | None, typer.Option(help="mean_field or full_rank. [default: mean_field]")] = None,
    precision: Annotated[str | None, typer.Option(help="float32, or bfloat16 matrix products.")] = None,
    objective: Annotated[str | None, typer.Option(help="elbo or iwae. [default: elbo]")] = None,
    num_samples: Annotated[int | None, typer.Option(help="Draws of z a row. [default: 1 (elbo), 50 (iwae)]")] = None,
    beta: Annotated[float | None, typer.Option(help="Weight of the KL in the loss. [default: 1]")] = None,
    beta_warmup: Annotated[int | None, typer.Option(help="Epochs over which beta rises from 0.")] = None,
    free_bits: Annotated[float | None, typer.Option(help="Nats of KL a dimension that go free.")] = None,
    kl: Annotated[str | None, typer.Option(help="auto, analytic or monte_carlo. [default: auto]")] = None,
    estimator: Annotated[
        str | None, typer.Option(help="reparam, stl (elbo) or dreg (iwae). [default: reparam]")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data. [default: by its size]")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows in a step. [default: 128]")] = None,
    optimizer: Annotated[str | None, typer.Option(help="adam, adamax, lion, rmsprop, sgd, ... [default: adam]")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Its peak. [default: 0.001]")] = None,
    schedule: Annotated[str | None, typer.Option(help="constant, cosine, linear or exponential.")] = None,
    warmup_epochs: Annotated[int | None, typer.Option(help="Epochs over which the learning rate rises.")] = None,
    clip_norm: Annotated[float | None, typer.Option(help="Global norm to clip gradients to.")] = None,
    patience: Annotated[
        int | None, typer.Option(help="Epochs to wait for a better held-out bound. [default: a tenth of epochs]")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random. [default: 0]")] = None,
) -> None:
    """Fit a variational auto-encoder, evaluate it on held-out rows, and draw pictures of it.

    What you leave out is chosen by the kind of data, and said. Everything is kept in the directory of the run: settings,
    metrics, checkpoints, model, results and pictures. A run that was stopped, by whatever, goes on with --resume RUN and
    ends with the same model to the last bit.

    \b
    Examples:
      varinf fit
      varinf fit fashion-mnist --latent-dim 20 --hidden 400 --epochs 30
      varinf fit photos/ --resize 32 --network conv --out runs/photos
      varinf fit table.csv --likelihood gaussian
      varinf fit --resume runs/photos
    """
    options = {
        "source": source, "test": test, "array": array, "resize": parse_resize(resize), "held_out": held_out,
        "latent_dim": latent_dim, "hidden": parse_sizes(hidden), "network": network, "activation": activation,
        "likelihood": likelihood, "posterior": posterior, "binarize": binarize, "variance": variance,
        "precision": precision, "objective": objective, "num_samples": num_samples, "beta": beta,
        "beta_warmup": beta_warmup, "free_bits": free_bits, "kl": kl, "estimator": estimator, "optimizer": optimizer,
        "learning_rate": learning_rate, "schedule": schedule, "warmup_epochs": warmup_epochs, "clip_norm": clip_norm,
        "batch_size": batch_size, "epochs": epochs, "patience": patience, "seed": seed,
    }  # fmt: skip
    # What follows loads pydantic, then JAX; a page of help needs neither.
    from varinf.cli._session import begin, carry_out

    if resume is None:
        run = begin(options, settings, out, overwrite=overwrite)
        carry_out(run, new=True)
        return
    others = [name for name, value in options.items() if value is not None]
    if others or settings or out or overwrite:
        raise InputError("--resume goes on with the settings of the run; leave out DATA and the other options")
    from varinf.run import Run

    carry_out(Run.open(resume), new=False)
