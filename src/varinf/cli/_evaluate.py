from typing import Annotated

import typer

from varinf.cli._arguments import RunPath, Seed


def evaluate(
    run: RunPath,
    source: Annotated[
        str | None,
        typer.Argument(metavar="[DATA]", help="Rows to evaluate on; those that the run held out if left out."),
    ] = None,
    num_samples: Annotated[int, typer.Option(help="Importance samples a row.", min=1)] = 5000,
    max_rows: Annotated[int, typer.Option(help="Evenly spaced rows to take at most.", min=1)] = 1000,
    seed: Seed = 0,
) -> None:
    """Evaluate a run's model: the elbo and its parts, and ln p(x) by importance sampling.

    \b
    Examples:
      varinf evaluate runs/photos
      varinf evaluate runs/photos more-photos/ --num-samples 1000 --max-rows 10000
    """
    import jax

    from varinf import job
    from varinf.cli._show import results_text
    from varinf.run import Run

    opened = Run.open(run)
    model = job.load_model(opened)
    rows = job.open_data(opened.settings).held_out if source is None else job.open_like(opened, source)
    results = job.evaluation(model, rows, num_samples=num_samples, max_rows=max_rows, key=jax.random.key(seed))
    typer.echo(results_text(results))
