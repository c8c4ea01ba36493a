"""Memory: the peak of `varinf fit fashion-mnist`, and the private memory and speed of a fit on an 8 GB .npy file.

python -m benchmarks.memory [--gigabytes 8] [--folder /tmp]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks._compare import report

_PIXELS = 784


def _watch(command: list[str]) -> tuple[float, float, float]:
    """Run a command: peak resident and peak private (anonymous) memory in MB, and seconds."""
    began, peak, private = time.perf_counter(), 0, 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            break
        values = {
            line.split(":")[0]: line.split()[1] for line in status.splitlines() if line.startswith(("VmHWM", "RssA"))
        }
        peak, private = max(peak, int(values.get("VmHWM", 0))), max(private, int(values.get("RssAnon", 0)))
        time.sleep(0.05)
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(command)} failed")
    return peak / 1024, private / 1024, time.perf_counter() - began


def _write(path: Path, rows: int) -> None:
    """Rows of float32 around a few means, written a block at a time."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(16, _PIXELS)).astype(np.float32)
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, _PIXELS))
    for start in range(0, rows, 20_000):
        stop = min(start + 20_000, rows)
        out[start:stop] = means[rng.integers(0, 16, stop - start)]
        out[start:stop] += rng.random((stop - start, _PIXELS), np.float32)
    out.flush()


_SPEED = """
import sys, time, jax, numpy as np, varinf as vi
path, rows, resident = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
x = np.load(path, mmap_mode="r")[:rows]
summary = vi.data.summarize(vi.data.source(x))
settings = {"hidden": (400,), "latent_dim": 20, "likelihood": "gaussian", "summary": summary}
vae = vi.VAE.build(event_shape=(784,), **settings, key=jax.random.key(0))
seconds = {}
for repeat in range(3):
    for limit in (1 << 40, 0):
        began = time.perf_counter()
        vi.fit(vae, x, epochs=2, max_resident_bytes=limit, summary=summary, key=jax.random.key(1))
        seconds.setdefault(limit, []).append(time.perf_counter() - began)
print(min(seconds[1 << 40]), min(seconds[0]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=8)
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        varinf = [sys.executable, "-c", "from varinf.cli import main; raise SystemExit(main())", "fit"]
        peak, private, seconds = _watch([*varinf, "fashion-mnist", "--out", f"{folder}/fashion"])
        lines = [f"varinf fit fashion-mnist: peak {peak:.0f} MB (aim 800), private {private:.0f} MB, {seconds:.0f} s"]
        path, rows = Path(folder, "rows.npy"), int(given.gigabytes * 1e9 / 4 / _PIXELS)
        _write(path, rows)
        run = [*varinf, str(path), "--epochs", "1", "--hidden", "400", "--latent-dim", "20", "--out", f"{folder}/large"]
        peak, private, seconds = _watch(run)
        lines.append(
            f"a fit of {rows:,} rows, {given.gigabytes:g} GB: private {private:.0f} MB (aim 1200), {seconds:.0f} s"
        )
        out = subprocess.run(
            [sys.executable, "-c", _SPEED, str(path), "60000", "0"], capture_output=True, text=True, check=True
        )
        resident, streamed = map(float, out.stdout.split())
        lines.append(
            f"2 epochs of 60,000 rows: {resident:.2f} s in memory, {streamed:.2f} s read by rows; "
            f"speed {resident / streamed:.0%} (aim 70 %)"
        )
    report("memory", "\n".join(lines))


if __name__ == "__main__":
    main()
