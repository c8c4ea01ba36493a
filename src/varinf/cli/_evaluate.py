from typing import Annotated

import typer

from varinf._checks import MAX_SEED
from varinf.cli._arguments import ArrayName, RunPath


def evaluate(
    run: RunPath,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            help="Rows to evaluate on, as for fit; of data with test rows of their own, those. [default: those that "
            "RUN held out]",
        ),
    ] = None,
    num_samples: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Draws behind each figure: importance samples for each row of a vae, draws of the weights of a "
            "classifier or a regressor. [default: 5000 (vae), 100 (classifier), 400 (regressor)]",
            min=1,
        ),
    ] = None,
    max_rows: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Rows to take at most, evenly spaced. [default: 1000 (vae), 10000 (classifier, regressor)]",
            min=1,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Seed of the random draws. [default: those of the fit's own figures]",
            min=0,
            max=MAX_SEED,
        ),
    ] = None,
    array: ArrayName = None,
) -> None:
    """Evaluate a run's model: the elbo and its parts; of a vae ln p(x) by importance sampling, of a classifier its
    accuracy and calibration, of a regressor its errors and intervals.

    \b
    Examples:
      varinf evaluate runs/photos
      varinf evaluate runs/photos more-photos/ --num-samples 1000 --max-rows 10000
    """
    from varinf.cli._show import results_text
    from varinf.run import Run

    opened = Run.open(run)
    from varinf import job

    model = job.load_model(opened)
    results = job.evaluation(opened, model, source, array, num_samples=num_samples, max_rows=max_rows, seed=seed)
    print(results_text(results, "held-out rows" if source is None else "rows"))
