"""What a run is made of: validated settings, to and from TOML. Loads no JAX."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from varinf._table import Table, known
from varinf.errors import InputError
from varinf.likelihoods import LIKELIHOODS
from varinf.networks import ACTIVATIONS, NETWORKS
from varinf.objectives import OBJECTIVES
from varinf.posteriors import POSTERIORS
from varinf.train import OPTIMIZERS, SCHEDULES


def _one_of(table: Table) -> Callable[[str], str]:
    return AfterValidator(table.check)  # pyright: ignore[reportReturnType]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_Positive = Annotated[int, Field(ge=1)]


class DataSettings(_Section):
    """Where the rows come from, and which of them are held out."""

    source: str = "digits"
    test: str | None = None
    array: str | None = None
    resize: tuple[_Positive, _Positive] | None = None
    held_out: float = Field(0.2, gt=0, lt=1)


class ModelSettings(_Section):
    """The model. What is None is chosen by the kind of data."""

    latent_dim: _Positive = 16
    hidden: tuple[_Positive, ...] | None = None
    network: Annotated[str, _one_of(NETWORKS)] = "mlp"
    activation: Annotated[str, _one_of(ACTIVATIONS)] = "relu"
    likelihood: Annotated[str, _one_of(LIKELIHOODS)] | None = None
    posterior: Annotated[str, _one_of(POSTERIORS)] = "mean_field"
    binarize: Literal["dynamic", "threshold", "none"] | None = None
    variance: Literal["per_dimension", "shared"] | Annotated[float, Field(gt=0)] | None = None
    precision: Literal["float32", "bfloat16"] = "float32"


class ObjectiveSettings(_Section):
    """What is maximised."""

    objective: Annotated[str, _one_of(OBJECTIVES)] = "elbo"
    num_samples: _Positive | None = None
    beta: float = Field(1.0, ge=0)
    beta_warmup: int = Field(0, ge=0)
    free_bits: float = Field(0.0, ge=0)
    kl: Literal["auto", "analytic", "monte_carlo"] = "auto"
    estimator: Literal["reparam", "stl", "dreg"] = "reparam"


class TrainSettings(_Section):
    """How it is maximised."""

    optimizer: Annotated[str, _one_of(OPTIMIZERS)] = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    schedule: Annotated[str, _one_of(SCHEDULES)] = "constant"
    warmup_epochs: int = Field(0, ge=0)
    clip_norm: float | None = Field(None, gt=0)
    batch_size: _Positive | None = None
    epochs: _Positive | None = None
    patience: _Positive | None = None
    seed: int = Field(0, ge=0, lt=2**32)


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
    return _validated(sections)


def load_settings(file: Path) -> Settings:
    """The settings in a TOML file.

    Raises:
        InputError: missing, no TOML, or not settings.
    """
    return _validated(_read(file))


def dump_settings(settings: Settings) -> bytes:
    """Settings as TOML. What is left to be chosen by the data is left out."""
    return tomli_w.dumps(settings.model_dump(exclude_none=True, mode="json")).encode()


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


def _validated(sections: dict[str, Any]) -> Settings:
    try:
        return Settings.model_validate(sections)
    except ValidationError as error:
        first = error.errors()[0]
        name = first["loc"][1] if len(first["loc"]) > 1 else first["loc"][0]
        message = first["msg"].removeprefix("Value error, ")
        came = "" if first["type"] == "value_error" else f", got {first['input']!r}"
        raise InputError(f"setting {name}: {message[0].lower()}{message[1:]}{came}") from None


def _fields(section: str) -> dict[str, Any]:
    return type(getattr(Settings(), section)).model_fields


_SECTION_OF = {name: section for section in Settings.model_fields for name in _fields(section)}
