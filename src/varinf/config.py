"""What a run is made of: validated settings, to and from TOML. Loads no JAX."""

import contextlib
import math
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from varinf._checks import MAX_SEED, known
from varinf._table import Table
from varinf.errors import InputError
from varinf.likelihoods import LIKELIHOODS
from varinf.models import WEIGHT_POSTERIORS, WEIGHT_PRIORS
from varinf.networks import ACTIVATIONS, NETWORKS
from varinf.objectives import OBJECTIVES
from varinf.posteriors import LOCAL_POSTERIORS
from varinf.train import OPTIMIZERS, SCHEDULES

KINDS = Table("model", "varinf.kinds", {"vae": "VAEKind", "classifier": "Classifier", "regressor": "Regressor"})

# Settings that mean something to some kinds of model alone; the others would pass them over without a word.
_NETWORKS = ("classifier", "regressor")
KINDS_OF = {
    "label": ("vae",),
    "target": _NETWORKS,
    "latent_dim": ("vae",),
    "binarize": ("vae",),
    "free_bits": ("vae",),
    "precision": ("vae",),
    "likelihood": ("vae", "regressor"),
    "variance": ("vae", "regressor"),
    "prior_scale": _NETWORKS,
    "weight_draws": _NETWORKS,
}


def _one_of(table: Table) -> AfterValidator:
    return AfterValidator(table.check)


def _choice(kind: str, *names: str) -> AfterValidator:
    return AfterValidator(lambda name: known(kind, name, names))


def _number_or(kind: str, *names: str) -> AfterValidator:
    """A name, or a positive number, of which an option's value is only the letters."""

    def check(value: str | float) -> str | float:
        with contextlib.suppress(ValueError):
            value = float(value)
        if isinstance(value, float) and not 0 < value < math.inf:
            raise ValueError(f"expected a positive number, got {value:g}")
        return value if isinstance(value, float) else known(kind, str(value), (*names, "a number"))

    return AfterValidator(check)


# a code's or a network's; which of them a kind of model can have is for its `build` to say
_POSTERIORS = tuple(dict.fromkeys((*LOCAL_POSTERIORS, *WEIGHT_POSTERIORS)))


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


_Positive = Annotated[int, Field(ge=1)]


class DataSettings(_Section):
    """Where the rows come from, and which of them are held out."""

    source: str = "digits"
    test: str | None = None
    array: str | None = None
    label: str | None = None
    target: str | None = None
    resize: tuple[_Positive, _Positive] | None = None
    held_out: float = Field(default=0.2, gt=0, lt=1)


class ModelSettings(_Section):
    """The model. What is None is chosen by the kind of data."""

    model: Annotated[str, _one_of(KINDS)] = "vae"
    latent_dim: _Positive = 16
    hidden: tuple[_Positive, ...] | None = None
    network: Annotated[str, _one_of(NETWORKS)] = "mlp"
    activation: Annotated[str, _one_of(ACTIVATIONS)] = "relu"
    likelihood: Annotated[str, _one_of(LIKELIHOODS)] | None = None
    posterior: Annotated[str, _choice("posterior", *_POSTERIORS)] = "mean_field"
    binarize: Annotated[str, _choice("way to binarize", "dynamic", "threshold", "none")] | None = None
    variance: Annotated[str | float, _number_or("variance", "per_dimension", "shared")] | None = None
    precision: Annotated[str, _choice("precision", "float32", "bfloat16")] = "float32"
    prior_scale: Annotated[str | float, _number_or("prior_scale", *WEIGHT_PRIORS)] | None = None
    weight_draws: Annotated[str, _choice("way to draw weights", "auto", "local", "flipout", "weights")] = "auto"


class ObjectiveSettings(_Section):
    """What is maximised."""

    objective: Annotated[str, _one_of(OBJECTIVES)] = "elbo"
    num_samples: _Positive | None = None
    alpha: float = 0.5
    beta: float = Field(default=1.0, ge=0)
    beta_warmup: int = Field(default=0, ge=0)
    free_bits: float = Field(default=0.0, ge=0)
    kl: Annotated[str, _choice("way to the KL", "auto", "analytic", "monte_carlo")] = "auto"
    estimator: Annotated[str, _choice("estimator", "reparam", "stl", "dreg")] = "reparam"


class TrainSettings(_Section):
    """How it is maximised."""

    optimizer: Annotated[str, _one_of(OPTIMIZERS)] = "adam"
    learning_rate: float | None = Field(default=None, gt=0)
    schedule: Annotated[str, _one_of(SCHEDULES)] = "cosine"
    warmup_epochs: int = Field(default=0, ge=0)
    clip_norm: float | None = Field(default=None, gt=0)
    batch_size: _Positive | None = None
    epochs: _Positive | None = None
    patience: _Positive | None = None
    seed: int = Field(default=0, ge=0, le=MAX_SEED)


class Settings(_Section):
    """All settings of a run, in sections. No two sections share a name, so a name alone says which is meant."""

    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    train: TrainSettings = TrainSettings()


def make_settings(options: dict[str, Any], file: Path | None = None) -> Settings:
    """Settings from options by name, over those of a TOML file, over the defaults.

    Args:
        options: values by name; None means not given.
        file: a TOML file with the sections of `Settings`.

    Raises:
        InputError: an unknown name (with the nearest known one), or a value that will not do.
    """
    sections = {} if file is None else _read(file)
    for name, value in options.items():
        if value is not None:
            sections.setdefault(_SECTION_OF[name], {})[name] = value
    return _validated(sections, [name for name, value in options.items() if value is not None])


def load_settings(file: Path) -> Settings:
    """The settings in a TOML file.

    Raises:
        InputError: missing, no TOML, or not settings.
    """
    return _validated(_read(file))


def dump_settings(settings: Settings) -> bytes:
    """Settings as TOML. What is left to be chosen by the data is left out, and what is for other kinds of model.

    Raises:
        InputError: a path that is no UTF-8, which TOML cannot hold.
    """
    try:
        sections = settings.model_dump(exclude_none=True, mode="json")
        for section in sections.values():
            for name in [name for name in section if not _means_something(name, settings)]:
                del section[name]
        return tomli_w.dumps(sections).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"expected paths in UTF-8, got {error.object!r}; rename it") from None


def _read(file: Path) -> dict[str, Any]:
    try:
        sections = tomllib.loads(file.read_text())
    except FileNotFoundError:
        raise InputError(f"no such settings file: {file}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{file}: expected settings as TOML: {error}") from None
    for section, values in sections.items():
        known(f"section in {file}", section, Settings.model_fields)
        if not isinstance(values, dict):
            raise InputError(f"{file}: expected [{section}] to be a section of settings, got {values!r}")
        for name in values:
            known(f"setting in [{section}] of {file}", name, _fields(section))
    return sections


def _validated(sections: dict[str, Any], options: Iterable[str] = ()) -> Settings:
    """Settings from values; a complaint about one of `options` calls it as the command line does."""
    try:
        settings = Settings.model_validate(sections)
    except ValidationError as error:
        first = error.errors()[0]
        place = [str(part) for part in first["loc"]]
        name = place[1] if len(place) > 1 else place[0]
        message = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
        message = message.replace("expected greater", "expected a number greater").replace(
            "expected less", "expected a number less"
        )
        came = "" if first["type"] == "value_error" else f", got {first['input']!r}"
        raise InputError(f"{_called(name, options)}: {message[0].lower()}{message[1:]}{came}") from None
    for name in [name for section in sections.values() for name in section]:
        if not _means_something(name, settings):
            raise InputError(
                f"{_called(name, options)} is for a {' or '.join(KINDS_OF[name])}, and the model is a "
                f"{settings.model.model}; leave it out, or add --model {KINDS_OF[name][0]}"
            )
    return settings


def _means_something(name: str, settings: Settings) -> bool:
    kind = settings.model.model
    return kind in KINDS_OF.get(name, (kind,))


def _called(name: str, options: Iterable[str]) -> str:
    return f"--{name.replace('_', '-')}" if name in options else f"setting {name}"


def _fields(section: str) -> dict[str, Any]:
    return type(getattr(Settings(), section)).model_fields


_SECTION_OF = {name: section for section in Settings.model_fields for name in _fields(section)}
