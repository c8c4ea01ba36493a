import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

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
        InputError: a missing, damaged or newer file; arrays that do not fit; no `like` where one is needed.
    """
    stem = _stem(path)
    arrays, head = read_arrays(stem)
    recipe = head.get("recipe")
    if like is None and recipe is None:
        raise InputError(f"{stem} holds a model with parts of your own; pass like=, a model built the same way")
    if like is None:
        like = _skeleton(dict(recipe), stem)
    try:
        return with_arrays(like, arrays)
    except ValueError as error:
        raise DamagedFileError(f"{stem}.safetensors: {error}") from None


def _skeleton(recipe: dict[str, Any], stem: Path) -> Any:
    """The model of a recipe with arrays of the right shapes, unset."""
    try:
        cls = MODELS[recipe.pop("model")]
        for name in ("event_shape", "hidden"):
            recipe[name] = tuple(recipe[name])
        built = eqx.filter_eval_shape(cls.build, **recipe, key=jax.random.key(0))
    except (InputError, KeyError, TypeError) as error:
        raise DamagedFileError(f"{stem}.json: the model's settings are damaged: {error}") from None

    def blank(leaf: Any) -> Any:
        if isinstance(leaf, jax.ShapeDtypeStruct):
            return jax.numpy.empty(leaf.shape, leaf.dtype)
        return leaf

    return jax.tree.map(blank, built)


def _stem(path: str | Path) -> Path:
    path = Path(path)
    return path.with_suffix("") if path.suffix in (".safetensors", ".json") else path
