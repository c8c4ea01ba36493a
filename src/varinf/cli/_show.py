"""What commands print."""

from typing import Any


def results_text(results: dict[str, Any], what: str = "held-out rows") -> str:
    """The figures of an evaluation, a line each, in nats per datum."""
    rows = f"{results['rows']} {what}"
    if results["rows"] < results["held_out_rows"]:
        rows = f"{results['rows']} of {results['held_out_rows']:,} {what}"
    lines = [
        f"elbo               {results['elbo']:12.3f}  nats a row, on {rows}",
        f"  reconstruction   {results['reconstruction']:12.3f}",
        f"  KL               {results['kl']:12.3f}",
    ]
    if results.get("monte_carlo_kl"):
        lines[-1] += "  by Monte Carlo"
    if "bits_per_dimension" in results and results["is_log_likelihood"]:
        lines.append(f"bits per dimension {results['bits_per_dimension']:12.4f}  from the elbo")
    if results["is_log_likelihood"]:
        lines.append(
            f"log-likelihood     {results['log_likelihood']:12.3f}  ± {results['log_likelihood_stderr']:.3f}, "
            f"by {results['num_samples']} importance samples a row"
        )
    else:
        lines.append("The targets are grey values under a Bernoulli: these numbers are no log-likelihoods.")
    return "\n".join(lines)


def seconds_text(seconds: float) -> str:
    """A length of time for people."""
    return f"{seconds:.1f} s" if seconds < 120 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


def time_text(seconds: float) -> str:
    """A rough length of time."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
