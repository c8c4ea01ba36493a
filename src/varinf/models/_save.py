import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from varinf._files import DamagedFileError, read_arrays, write_arrays
from varinf._tree import named_arrays, with_arrays
from varinf.errors import InputError
from varinf.models._table import MODELS


def save(model: Any, path: str | Path) -> None:
    """Write a model's arrays to `path`.safetensors, and what they are to `path`.json, with a SHA-256.

    Args:
        model: a model, of varinf's or any pytree with arrays.
        path: where to; a suffix .safetensors or .json is taken off.

    Raises:
        OSError: it cannot be written there.
    """
    recipe = getattr(model, "recipe", None)
    write_arrays(_stem(path), named_arrays(model), {"recipe": None if recipe is None else json.loads(recipe)})


def load(path: str | Path, like: Any = None) -> Any:
    """Read a model that `save` wrote. No code is run and nothing unpickled.

    Args:
        path: as given to `save`.
        like: a model of the same structure, needed where networks of the user's own were saved.

    Raises:
        InputError: a missing, damaged or newer file; arrays that do not fit; double precision where it is switched
            off; no `like` where one is needed.
    """
    stem = _stem(path)
    arrays, head = read_arrays(stem)
    recipe = head.get("recipe")
    if like is None and recipe is None:
        raise InputError(f"{stem} holds a model with parts of your own; pass like=, a model built the same way")
    if like is None:
        try:
            like = _skeleton(recipe)
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise DamagedFileError(f"{stem}.json: the model's settings are damaged: {error}") from None
    try:
        return with_arrays(like, arrays)
    except InputError as error:
        raise InputError(f"{stem}.safetensors: {error}") from None
    except ValueError as error:
        raise DamagedFileError(f"{stem}.safetensors: {error}") from None


def from_arrays(recipe: str, arrays: dict[str, np.ndarray]) -> Any:
    """The model that a recipe (`model.recipe`) describes, with the arrays that `named_arrays(model)` gave.

    Raises:
        ValueError: arrays that do not fit the recipe.
        InputError: in double precision, which is switched off.
    """
    return with_arrays(_skeleton(json.loads(recipe)), arrays)


def _skeleton(recipe: Any) -> Any:
    """The model of a recipe, with the shape of each of its arrays in its place."""
    cls = MODELS[recipe["model"]]
    settings = {name: value for name, value in recipe.items() if name != "model"}
    for name in ("event_shape", "target_shape", "hidden"):
        if name in settings:
            settings[name] = tuple(settings[name])
    rest = None

    def arrays() -> Any:
        nonlocal rest
        # NumPy's arrays stay as they are: tracing would take their double precision from them.
        traced, rest = eqx.partition(cls.build(**settings, key=jax.random.key(0)), lambda x: isinstance(x, jax.Array))
        return traced

    return eqx.combine(jax.eval_shape(arrays), rest)


def _stem(path: str | Path) -> Path:
    path = Path(path)
    return path.with_suffix("") if path.suffix in (".safetensors", ".json") else path
