"""What commands print."""

from collections.abc import Iterator
from typing import Any


def results_text(results: dict[str, Any], what: str = "held-out rows") -> str:
    """The figures of an evaluation, a line each, in nats per datum."""
    rows = f"{results['rows']} {what}"
    if results["rows"] < results["held_out_rows"]:
        rows = f"{results['rows']} of {results['held_out_rows']:,} {what}"
    predicts = "log_likelihood" not in results
    lines = [
        f"elbo               {results['elbo']:12.3f}  nats a row, on {rows}",
        f"{'  E ln p(y | x, w)' if predicts else '  reconstruction  '} {results['reconstruction']:12.3f}",
        f"  KL               {results['kl']:12.3f}{'  of all weights, over the training rows' if predicts else ''}",
    ]
    if results.get("monte_carlo_kl"):
        lines[-1] += "  by Monte Carlo"
    remarks = [f"{about:<18} {text}" for about, text in results.get("remarks", {}).items()]
    return "\n".join([*lines, *(_of_predictions(results) if predicts else _of_data(results)), *remarks])


def _of_data(results: dict[str, Any]) -> Iterator[str]:
    """ln p(x) of a model of the data."""
    if "bits_per_dimension" in results and results["is_log_likelihood"]:
        yield f"bits per dimension {results['bits_per_dimension']:12.4f}  from the elbo"
    if results["is_log_likelihood"]:
        yield (
            f"log-likelihood     {results['log_likelihood']:12.3f}  ± {results['log_likelihood_stderr']:.3f}, "
            f"by {results['num_samples']} importance samples a row"
        )
    else:
        yield "The targets are grey values under a Bernoulli: these numbers are no log-likelihoods."


def _of_predictions(results: dict[str, Any]) -> Iterator[str]:
    """How good the predictions of a network are: of classes, or of numbers."""
    by = f"by {results['num_samples']} draws of the weights"
    yield f"NLL                {results['nll']:12.4f}  nats a row, {by}"
    if "accuracy" in results:
        yield f"accuracy           {results['accuracy']:12.2%}"
        yield f"Brier              {results['brier']:12.4f}"
        of_mass = f"{results['ece_equal_mass']:.4f} of equal mass"
        yield f"ECE                {results['ece']:12.4f}  in bins of equal width, {of_mass}"
        yield (
            f"uncertainty        {results['aleatoric'] + results['epistemic']:12.4f}  nats: aleatoric "
            f"{results['aleatoric']:.4f}, epistemic {results['epistemic']:.4f}"
        )
    else:
        yield f"RMSE               {results['rmse']:12.5g}  in the units of the target; CRPS {results['crps']:.5g}"
        yield (
            f"{results['level']:.0%} interval       {results['coverage']:12.2%}  of rows inside, "
            f"{results['interval_width']:.5g} wide in the mean"
        )
        epistemic = f"{results['epistemic_std']:.5g}"
        yield f"uncertainty        {results['aleatoric_std']:12.5g}  aleatoric, {epistemic} epistemic, in its units"


def seconds_text(seconds: float) -> str:
    """A length of time for people."""
    return f"{seconds:.1f} s" if seconds < 120 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


def time_text(seconds: float) -> str:
    """A rough length of time."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
