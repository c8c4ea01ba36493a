"""`kill -9` at random moments of `varinf fit`, then `fit --resume`: does the run end in the same bits?

    python -m benchmarks.kill_resume [--kills 30] [--streaming] [--seed 0] [-- options of fit]

A run is begun without a kill for reference. Then runs are begun and killed, gone on with and killed again, at moments
drawn evenly from the first second to the length of the reference; a run that ends is compared with the reference, and
the next is begun. With --streaming the rows are read in the background instead of being kept on the device.
"""

import argparse
import datetime
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FIRST = 1.0  # second, before which no process is killed
OPTIONS = ["digits", "--hidden", "200,200", "--latent-dim", "8", "--epochs", "300", "--patience", "300"]
STREAMING = (
    "import functools, sys, varinf.train as train; train.fit = functools.partial(train.fit, max_resident_bytes=0); "
    "from varinf.cli import main; sys.exit(main())"
)
ORDINARY = "import sys; from varinf.cli import main; sys.exit(main())"


def command(arguments: list[str], *, streaming: bool) -> list[str]:
    """A process that does what `varinf` does with these arguments."""
    return [sys.executable, "-c", STREAMING if streaming else ORDINARY, *arguments]


def start(arguments: list[str], log: Path, *, streaming: bool) -> subprocess.Popen:
    """Begin a process whose output goes to a file."""
    with log.open("ab") as file:
        return subprocess.Popen(command(arguments, streaming=streaming), stdout=file, stderr=file)


def until_settings(process: subprocess.Popen, run: Path) -> float:
    """How many seconds pass until the run's settings are on disk."""
    began = time.monotonic()
    while not (run / "settings.toml").exists() and process.poll() is None:
        time.sleep(0.002)
    return time.monotonic() - began


def steps(run: Path) -> int:
    """The step of the newest checkpoint."""
    return max((int(path.stem.split("-")[1]) for path in run.glob("checkpoints/step-*.json")), default=0)


def stage(run: Path) -> str:
    """How far a run came."""
    if (run / "results.json").exists():
        return "ended"
    if (run / "pictures").exists():
        return "drawing"
    if (run / "model.json").exists():
        return "evaluating"
    return f"step {steps(run)}" if steps(run) else "no checkpoint"


def differences(run: Path, reference: Path) -> list[str]:
    """The files of two runs that are not the same; figures of time apart."""
    names = ["model.safetensors", "model.json", "metrics.jsonl", *(f"snapshots/{p.name}" for p in snapshots(reference))]
    found = [name for name in names if (run / name).read_bytes() != (reference / name).read_bytes()]
    if [p.name for p in snapshots(run)] != [p.name for p in snapshots(reference)]:
        found.append("snapshots")
    ours, theirs = (json.loads((r / "results.json").read_text()) | {"seconds": 0} for r in (run, reference))
    return found if ours == theirs else [*found, "results.json"]


def snapshots(run: Path) -> list[Path]:
    """The snapshots of a run."""
    return sorted((run / "snapshots").iterdir())


def main() -> int:
    """Kill and resume; 0 if every run ended in the reference's bits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--streaming", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("options", nargs="*", default=OPTIONS)
    given = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    date = datetime.datetime.now(datetime.UTC)
    print(
        f"{date:%Y-%m-%d}, {os.cpu_count()} cores, {_processor()}, Python {platform.python_version()}, commit {commit}"
    )
    print(f"varinf fit {' '.join(given.options)}{' (streaming)' if given.streaming else ''}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="kill_resume-"))
    log, reference = folder / "log", folder / "reference"

    began = time.monotonic()
    process = start(["fit", *given.options, "--out", str(reference)], log, streaming=given.streaming)
    settings = [until_settings(process, reference)]
    if process.wait():
        print(log.read_text())
        return 1
    length = time.monotonic() - began
    print(f"reference: {length:.1f} s\n\n run  kill  after (s)  reached", flush=True)

    rng, kills, runs, failures = random.Random(given.seed), 0, 0, 0
    while kills < given.kills:
        runs += 1
        run, fresh = folder / f"run-{runs}", True
        while True:
            begun = ["fit", *given.options, "--out", str(run)] if fresh else ["fit", "--resume", str(run)]
            process = start(begun, log, streaming=given.streaming)
            moment = rng.uniform(FIRST, length)
            began = time.monotonic()
            if fresh:
                settings.append(until_settings(process, run))
            try:
                code = process.wait(max(0.0, began + moment - time.monotonic()) if kills < given.kills else None)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
                print(f"{runs:4} {kills:5} {moment:10.2f}  {stage(run)}", flush=True)
                # in the streaming variant JAX is loaded before the command line is, so there may be no run yet
                fresh = not (run / "settings.toml").exists()
                continue
            break
        wrong = [f"exit code {code}"] if code else differences(run, reference)
        failures += bool(wrong)
        print(f"{runs:4}   end              {', '.join(wrong) + ' differ' if wrong else 'same bits'}", flush=True)
    left = [str(path) for path in folder.rglob(".*")]
    print(f"\n{kills} kills, {runs} runs, {failures} differ; files left half-written: {len(left)}")
    print(f"settings on disk after {sorted(settings)[len(settings) // 2]:.2f} s (median), {max(settings):.2f} s (most)")
    shutil.rmtree(folder)
    return 1 if failures or left else 0


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    sys.exit(main())
