"""Four fits from the command line, each beside linear models of the same rows: held-out nats a row.

Fashion-MNIST; a folder of RGB images of odd size (patches of scikit-learn's two photographs); a CSV with columns of
scale 1e-6 and 1e6 (scikit-learn's breast cancer table); a memory-mapped .npy (patches, as rows of numbers). Peers: a
full-covariance Gaussian, and probabilistic PCA with as many latents. Pixels of whole numbers are scored by the peers as
densities, which for bins of width one is the same unit.

    python -m benchmarks.real_data [--only csv]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks._compare import report


def _patches(height: int, width: int, count: int, seed: int) -> np.ndarray:
    """Patches of two real photographs, `[count, height, width, 3]`, 8-bit."""
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images().images
    rng = np.random.default_rng(seed)
    patches = []
    for _ in range(count):
        photograph = photographs[rng.integers(len(photographs))]
        top, left = (rng.integers(side - size) for side, size in zip(photograph.shape, (height, width), strict=False))
        patches.append(photograph[top : top + height, left : left + width])
    return np.stack(patches)


def _fashion(folder: Path) -> tuple[list[str], str]:
    return ["fashion-mnist", "--likelihood", "gaussian"], "Fashion-MNIST, 784 pixels, Gaussian with one variance"


def _photos(folder: Path) -> tuple[list[str], str]:
    from PIL import Image

    images = folder / "photos"
    images.mkdir()
    for i, patch in enumerate(_patches(13, 17, 6000, seed=0)):
        Image.fromarray(patch).save(images / f"{i:05d}.png")
    return [str(images)], "6,000 RGB images of 13 × 17"


def _csv(folder: Path) -> tuple[list[str], str]:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    scales = np.where(np.arange(30) % 3 == 0, 1e-6, np.where(np.arange(30) % 3 == 1, 1e6, 1.0))
    header = ",".join(name.replace(" ", "_") for name in data.feature_names)
    path = folder / "table.csv"
    np.savetxt(path, data.data * scales, delimiter=",", header=header, comments="", fmt="%.10g")
    return [str(path)], "CSV, 569 rows, 30 columns of scales 1e-6, 1 and 1e6"


def _npy(folder: Path) -> tuple[list[str], str]:
    rng = np.random.default_rng(2)
    patches = _patches(8, 8, 40_000, seed=1).mean(-1).reshape(-1, 64)
    path = folder / "rows.npy"
    np.save(path, (patches + rng.random(patches.shape)).astype(np.float32))
    return [str(path)], "memory-mapped .npy, 40,000 rows of 64 grey values"


def _peers(run: Path) -> dict[str, float]:
    """Mean held-out log density of the linear models, of the rows that the run trained on and held out."""
    from varinf import job
    from varinf.config import load_settings

    settings = load_settings(run / "settings.toml")
    rows = job.open_data(settings)
    held_out = rows.held_out.take(np.arange(len(rows.held_out))).reshape(len(rows.held_out), -1).astype(np.float64)
    train = rows.train.take(np.arange(len(rows.train))).reshape(len(rows.train), -1).astype(np.float64)
    images = len(rows.train.spec.shape) > 1
    shift, scale = train.mean(0), np.full(train.shape[1], train.std()) if images else train.std(0)
    train, held_out = (train - shift) / scale, (held_out - shift) / scale
    covariance = train.T @ train / len(train)
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1], vectors[:, ::-1]
    projected = (held_out @ vectors) ** 2

    def mean_log_density(spectrum: np.ndarray) -> float:
        log_density = -0.5 * (projected / spectrum + np.log(2 * np.pi * spectrum)).sum(1)
        return float(log_density.mean() - np.log(scale).sum())

    latents = settings.model.latent_dim
    floored = np.maximum(values, 1e-8)
    ppca = np.concatenate([values[:latents], np.full(len(values) - latents, floored[latents:].mean())])
    return {"full-covariance Gaussian": mean_log_density(floored), f"PPCA, {latents} latents": mean_log_density(ppca)}


def main() -> None:
    cases = {"fashion": _fashion, "photos": _photos, "csv": _csv, "npy": _npy}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=cases)
    only = parser.parse_args().only
    lines = []
    for name, make in cases.items():
        if only not in (None, name):
            continue
        with tempfile.TemporaryDirectory() as folder:
            arguments, title = make(Path(folder))
            run = Path(folder, "run")
            varinf = [sys.executable, "-c", "from varinf.cli import main; raise SystemExit(main())", "fit"]
            subprocess.run([*varinf, *arguments, "--out", str(run)], check=True)
            results = json.loads((run / "results.json").read_text())
            lines.append(f"{title}\n  varinf fit {' '.join(a.removeprefix(folder + '/') for a in arguments)}")
            spread = results["log_likelihood_stderr"]
            lines.append(f"  {'varinf, ln p(x)':28}{results['log_likelihood']:12.3f} ± {spread:.3f}, elbo "
                         f"{results['elbo']:.3f}, {results['seconds']:.0f} s")  # fmt: skip
            lines += [f"  {peer:28}{value:12.3f}" for peer, value in _peers(run).items()]
    report("real_data" if only is None else f"real_data_{only}", "\n".join(lines))


if __name__ == "__main__":
    main()
