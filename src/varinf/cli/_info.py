from varinf.cli._arguments import RunPath


def info(run: RunPath) -> None:
    """Say what a run is: its settings, how far it came, its results and pictures.

    \b
    Example:
      varinf info runs/photos
    """
    from varinf.cli._show import results_text, seconds_text
    from varinf.config import dump_settings
    from varinf.run import Run

    opened = Run.open(run)
    metrics = opened.metrics()
    results = opened.results() if opened.finished else None
    print(f"run {opened.path}\n\n{dump_settings(opened.settings).decode()}")
    if metrics:
        last = metrics[-1]
        held_out = f", {last['validation_elbo']:.3f} on held-out rows" if "validation_elbo" in last else ""
        print(f"epochs             {last['epoch'] + 1}, {last['steps']:,} steps")
        print(f"elbo at their end  {last['elbo']:12.3f}  on the training rows{held_out}")
    if results is None:
        print(f"not finished; go on with: varinf fit --resume {opened.path}")
        return
    print(results_text(results))
    print(f"time               {seconds_text(results['seconds'])}")
    for picture in sorted(opened.pictures.glob("*.png")):
        print(f"picture            {picture}")
