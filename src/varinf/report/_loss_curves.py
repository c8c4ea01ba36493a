from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from varinf.errors import InputError
from varinf.report._style import (
    HELD_OUT,
    TRAIN,
    few_ticks,
    name_axes,
    new_axes,
    new_figure,
    plain_ticks,
    save,
    set_legend,
    span,
)

_BOUNDS = {"renyi": "Rényi bound", "iwae": "Importance-weighted bound", "elbo": "ELBO", "loss": "Loss"}
_FEW = 5  # epochs, below which none is left out
_PARTS = {"reconstruction": "Reconstruction, E[ln p(x | z)]", "kl": "KL[q(z | x) || p(z)]"}


def loss_curves(history: Mapping[str, Sequence[float]], path: str | Path, *, parts: Mapping[str, str] = _PARTS) -> Path:
    """Draw the bound by epoch, on the training and the held-out data, and beside it its two parts.

    Args:
        history: metrics by name, one entry for each epoch, in nats per datum, as in `Fit.history`.
        path: of the PNG file.
        parts: the metrics of its two parts, with titles; by default those of a VAE.

    Returns:
        The path.

    Raises:
        InputError: a history without a bound.
    """
    bound = next((name for name in _BOUNDS if name in history), None)
    if bound is None:
        raise InputError(f"history: expected one of {', '.join(_BOUNDS)}, got {', '.join(history) or 'nothing'}")
    shown = [name for name in parts if name in history]
    figure = new_figure(1400 if shown else 900, 560)
    main = new_axes(figure, 112, 52, 745, 424)
    _curves(main, history, bound, with_values=True)
    name_axes(main, "epoch", "nats per datum", _BOUNDS[bound], away=80)
    for i, name in enumerate(shown):
        axes = new_axes(figure, 985, 52 + 232 * i, 385, 192)
        _curves(axes, history, name)
        name_axes(axes, "epoch" if i == len(shown) - 1 else "", "nats", parts[name], away=80)
        few_ticks(axes, 5, 4, whole=True)
        axes.tick_params(labelbottom=i == len(shown) - 1)
    return save(figure, path)


def _curves(axes: Axes, history: Mapping[str, Sequence[float]], name: str, with_values: bool = False) -> None:
    handles, names, seen = [], [], []
    for key, who, colour in ((name, "train", TRAIN), (f"validation_{name}", "held out", HELD_OUT)):
        values = np.asarray(history.get(key, ()), np.float64)
        if not len(values):
            continue
        epochs = np.arange(1, len(values) + 1)
        marker = "o" if len(values) <= 15 else None
        handles += axes.plot(epochs, values, color=colour, linewidth=1.3, marker=marker, markersize=2.5)
        names.append(f"{who}   {values[-1]:.4g}".replace("-", "−"))
        seen.append(values)
    few_ticks(axes, 8, 6, whole=True)
    plain_ticks(axes)
    if not seen:
        return
    longest = max(map(len, seen))
    axes.set_xlim(*((0.5, 1.5) if longest == 1 else (1 - 0.015 * longest, longest * 1.015)))
    axes.set_ylim(_view(seen))
    axes.grid(axis="y", color="#ececec", linewidth=0.6)
    axes.set_axisbelow(True)
    if with_values:
        falls = name == "loss"
        set_legend(axes, handles, names, loc="upper right" if falls else "lower right", handlelength=1.4)


def _view(seen: list[np.ndarray]) -> tuple[float, float]:
    """Limits that show everything, or all but the first steep epochs where these would flatten the rest."""
    everything = span(np.concatenate(seen))
    steep = [max(len(values) // 20, len(values) >= _FEW) for values in seen]
    later = np.concatenate([values[left_out:] for values, left_out in zip(seen, steep, strict=True)])
    low, high = span(later, 0.08)
    return everything if everything[1] - everything[0] < 1.6 * (high - low) else (low, high)
