from typing import Annotated

import typer

from varinf.cli._arguments import ArrayName, RunPath


def evaluate(
    run: RunPath,
    source: Annotated[
        str | None,
        typer.Argument(metavar="DATA", help="Rows to evaluate on, as for fit. [default: those that RUN held out]"),
    ] = None,
    num_samples: Annotated[int, typer.Option(metavar="N", help="Importance samples for each row.", min=1)] = 5000,
    max_rows: Annotated[int, typer.Option(metavar="N", help="Rows to take at most, evenly spaced.", min=1)] = 1000,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="Seed of the random draws. [default: those of the fit's own figures]", min=0),
    ] = None,
    array: ArrayName = None,
) -> None:
    """Evaluate a run's model: the elbo and its parts, and ln p(x) by importance sampling.

    \b
    Examples:
      varinf evaluate runs/photos
      varinf evaluate runs/photos more-photos/ --num-samples 1000 --max-rows 10000
    """
    from varinf.cli._show import results_text
    from varinf.run import Run

    opened = Run.open(run)
    import jax

    from varinf import job

    model = job.load_model(opened)
    rows = job.open_data(opened.settings).held_out if source is None else job.open_like(opened, source, array)
    key = job.evaluation_key(opened.settings) if seed is None else jax.random.key(seed)
    results = job.evaluation(model, rows, num_samples=num_samples, max_rows=max_rows, key=key)
    print(results_text(results, "held-out rows" if source is None else "rows"))
