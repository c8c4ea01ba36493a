"""Timing in turn: A B C A B C ..., so that a drift of the machine's speed falls on all alike."""

import datetime
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def alternate(candidates: dict[str, Callable[[], object]], rounds: int = 7, warmup: int = 1) -> dict[str, list[float]]:
    """Seconds of each candidate in each round, after warming up."""
    for _ in range(warmup):
        for run in candidates.values():
            run()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def ratio(seconds: dict[str, list[float]], a: str, b: str) -> float:
    """The median over rounds of a's time by b's."""
    return statistics.median(x / y for x, y in zip(seconds[a], seconds[b], strict=True))


def table(seconds: dict[str, list[float]], base: str) -> str:
    """Medians, ranges, and ratios to `base`."""
    lines = [f"{'':34}{'median s':>10}{'min':>9}{'max':>9}   ratio to {base}"]
    for name, values in seconds.items():
        middle = statistics.median(values)
        lines.append(f"{name:34}{middle:10.4f}{min(values):9.4f}{max(values):9.4f}   {ratio(seconds, name, base):.3f}")
    return "\n".join(lines)


def report(name: str, text: str) -> None:
    """Print a result and keep it beside the benchmarks, with date, machine and commit."""
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    command = " ".join([f"python -m benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]])
    head = f"{datetime.date.today()}, {model}, {_cores()} cores, commit {commit.stdout.strip()}\n{command}\n\n"
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / f"{name}.txt").write_text(head + text + "\n")
    print(text)


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0))
