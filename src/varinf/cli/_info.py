import typer

from varinf.cli._arguments import RunPath


def info(run: RunPath) -> None:
    """Say what a run is: its settings, how far it came, and its results."""
    from varinf.cli._show import results_text, seconds_text
    from varinf.config import dump_settings
    from varinf.run import Run

    opened = Run.open(run)
    typer.echo(f"run {opened.path}\n")
    typer.echo(dump_settings(opened.settings).decode())
    metrics = opened.metrics()
    if metrics:
        last = metrics[-1]
        typer.echo(f"{last['epoch'] + 1} epochs, {last['steps']:,} steps; elbo {last['elbo']:.3f} on the training rows")
    results = opened.results()
    if results is None:
        typer.echo(f"not finished; go on with: varinf fit --resume {opened.path}")
    else:
        typer.echo(results_text(results))
        typer.echo(f"time               {seconds_text(results['seconds'])}")
        for picture in sorted(opened.pictures.glob("*.png")):
            typer.echo(f"picture            {picture}")
