import pytest

from varinf._checks import known
from varinf._table import Table
from varinf.errors import InputError


def test_names_resolve_late():
    table = Table("colour", "no.such.room", {"red": "Red"})
    assert list(table) == ["red"]
    assert len(table) == 1
    assert table.check("red") == "red"
    with pytest.raises(ModuleNotFoundError):
        table["red"]


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(InputError, match=r"unknown colour 'gren'; known: red, green\. Did you mean 'green'\?"):
        known("colour", "gren", ["red", "green"])


@pytest.mark.parametrize("name", [None, 3, ("red",), "", []])
def test_anything_else_is_unknown_too(name):
    with pytest.raises(InputError, match="unknown colour"):
        known("colour", name, ["red", "green"])


def test_every_table_of_the_library_resolves():
    from varinf import likelihoods, models, networks, objectives, posteriors, train

    tables = [
        likelihoods.LIKELIHOODS,
        models.MODELS,
        networks.ACTIVATIONS,
        networks.NETWORKS,
        objectives.OBJECTIVES,
        posteriors.POSTERIORS,
        posteriors.LOCAL_POSTERIORS,
        posteriors.DENSITY_POSTERIORS,
        train.OPTIMIZERS,
    ]
    for table in tables:
        for name in table:
            assert callable(table[name]) or isinstance(table[name], tuple), name
