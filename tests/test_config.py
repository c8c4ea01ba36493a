"""Settings: each value survives TOML, a name alone says which section is meant; for faults see cli/test_faults.py."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from varinf.config import Settings, dump_settings, load_settings, make_settings
from varinf.errors import InputError
from varinf.likelihoods import LIKELIHOODS

positive = st.integers(1, 10**6)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "source": st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        "resize": st.tuples(positive, positive),
        "held_out": st.floats(1e-9, 1 - 1e-9),
        "hidden": st.lists(positive, max_size=4).map(tuple),
        "likelihood": st.sampled_from(sorted(LIKELIHOODS)),
        "variance": st.sampled_from(["shared", "per_dimension", "0.25"]) | st.floats(1e-300, 1e300),
        "beta": st.floats(0, 1e30),
        "learning_rate": st.floats(1e-30, 1e30),
        "epochs": positive,
        "seed": st.integers(0, 2**32 - 1),
    },
)


@settings(deadline=None)
@given(OPTIONS)
def test_settings_survive_toml(tmp_path_factory, options):
    settings = make_settings(options)
    file = tmp_path_factory.getbasetemp() / "settings.toml"
    file.write_bytes(dump_settings(settings))
    assert load_settings(file) == settings
    assert make_settings({}, file) == settings


def test_no_two_sections_share_a_name():
    names = [name for section in Settings().model_dump().values() for name in section]
    assert len(names) == len(set(names))


def test_options_go_before_a_file_and_the_file_before_defaults(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text("[train]\nepochs = 7\nseed = 8\n[model]\nhidden = [3]\n")
    settings = make_settings({"epochs": 9, "seed": None}, file)
    assert (settings.train.epochs, settings.train.seed, settings.model.hidden) == (9, 8, (3,))
    assert settings.train.schedule == "cosine"


def test_a_complaint_calls_a_thing_as_the_user_did(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text("[train]\nbatch_size = 0\n")
    with pytest.raises(InputError, match=r"^setting batch_size: expected a number greater than or equal to 1, got 0$"):
        make_settings({}, file)
    with pytest.raises(InputError, match=r"^--batch-size: expected a number greater than or equal to 1, got 0$"):
        make_settings({"batch_size": 0})


def test_a_number_is_read_from_the_letters_of_an_option():
    assert make_settings({"variance": "0.25"}).model.variance == 0.25
    assert make_settings({"model": "regressor", "prior_scale": "2"}).model.prior_scale == 2.0
    assert make_settings({"model": "regressor", "prior_scale": "fan_in"}).model.prior_scale == "fan_in"


def test_a_path_that_toml_cannot_hold():
    with pytest.raises(InputError, match="UTF-8"):
        dump_settings(make_settings({"source": str(Path("a\udcff"))}))


def test_what_is_for_another_kind_of_model_is_neither_taken_nor_kept(tmp_path):
    with pytest.raises(InputError, match=r"^--latent-dim is for a vae, and the model is a classifier; leave it out"):
        make_settings({"model": "classifier", "latent_dim": 16})
    file = tmp_path / "my.toml"
    file.write_bytes(dump_settings(make_settings({"model": "regressor", "target": "price", "prior_scale": 2.0})))
    assert "latent_dim" not in file.read_text()
    assert load_settings(file).model.prior_scale == 2
    with pytest.raises(InputError, match=r"^setting target is for a classifier or regressor, and the model is a vae"):
        make_settings({"model": "vae"}, file)
