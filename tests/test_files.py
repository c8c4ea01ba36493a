import json
import os

import ml_dtypes
import numpy as np
import pytest

from varinf import _files
from varinf._files import DamagedFileError, read_arrays, write_arrays, write_file
from varinf.errors import InputError

ARRAYS = {
    "scalar": np.float32(3.5).reshape(()),
    "empty": np.zeros((0, 2)),
    "strided": np.arange(12, dtype=np.int64).reshape(3, 4)[:, ::2],
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
}
# the floats of JAX that NumPy lacks
LACKING = {name: t for name, t in vars(ml_dtypes).items() if name.startswith(("bfloat", "float"))}
ARRAYS |= {name: np.ones((2, 3), dtype)[:, ::2] for name, dtype in LACKING.items()}
ARRAYS["scalar of 16 bits"] = np.ones((), ml_dtypes.bfloat16)
META = {"step": 7, "history": {"elbo": [0.1, -1e-17, 1 / 3]}, "nothing": None, "name": "κ"}


def test_round_trip_bit_for_bit(tmp_path):
    write_arrays(tmp_path / "a.b", ARRAYS, META)
    arrays, head = read_arrays(tmp_path / "a.b")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.b.json", "a.b.safetensors"]
    for name, array in ARRAYS.items():
        assert (arrays[name].shape, arrays[name].dtype) == (array.shape, array.dtype)
        assert arrays[name].tobytes() == array.tobytes()
    assert META.items() <= head.items()


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_every_flipped_byte_is_noticed(tmp_path, suffix):
    write_arrays(tmp_path / "a", {"x": np.arange(3.0)}, {"step": 12, "value": 0.25})
    path = tmp_path / f"a{suffix}"
    whole = path.read_bytes()
    meaning = read_arrays(tmp_path / "a")[1]
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            _, head = read_arrays(tmp_path / "a")
        except DamagedFileError:
            continue
        # the spaces of JSON may change without its meaning
        assert suffix == ".json"
        assert head == meaning, (at, whole[max(0, at - 10) : at + 10])


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
@pytest.mark.parametrize("left", [0, 1, 10, -1])
def test_a_file_cut_short_is_noticed(tmp_path, suffix, left):
    write_arrays(tmp_path / "a", {"x": np.arange(3.0)}, {})
    path = tmp_path / f"a{suffix}"
    content = path.read_bytes()
    # the last byte of the JSON is its newline, which means nothing
    path.write_bytes(content[:left] if suffix == ".safetensors" or left >= 0 else content[:-2])
    with pytest.raises(DamagedFileError, match=r"a\.(json|safetensors)"):
        read_arrays(tmp_path / "a")


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_missing_half_is_named(tmp_path, suffix):
    write_arrays(tmp_path / "a", {"x": np.arange(3.0)}, {})
    (tmp_path / f"a{suffix}").unlink()
    with pytest.raises(DamagedFileError, match=f"no such file: .*a{suffix}"):
        read_arrays(tmp_path / "a")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "names no format"),
        ("{}", "names no format"),
        ('{"format": "1"}', "names no format"),
        ('{"format": 99}', "newer varinf"),
        ("no json", "no JSON"),
    ],
)
def test_another_file_is_refused_with_a_reason(tmp_path, content, message):
    write_arrays(tmp_path / "a", {"x": np.arange(3.0)}, {})
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match=message):
        read_arrays(tmp_path / "a")


@pytest.mark.parametrize("fault", ["open", "fsync", "replace"])
def test_a_failed_write_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch, fault):
    path = tmp_path / "a"
    write_file(path, b"old")

    def fail(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    if fault == "open":
        monkeypatch.setattr("builtins.open", fail)
    else:
        monkeypatch.setattr(_files.os, fault, fail)
    with pytest.raises(OSError, match="No space"):
        write_file(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("dtypes", [{"x": "bfloat"}, {"x": "finfo"}, {"x": 1}, {"y": "bfloat16"}, [1]])
def test_nonsensical_dtypes_are_damage(tmp_path, dtypes):
    write_arrays(tmp_path / "a", {"x": np.zeros(3, np.uint8)}, {"dtypes": dtypes})
    with pytest.raises(DamagedFileError, match="is damaged"):
        read_arrays(tmp_path / "a")


def test_the_json_is_written_last(tmp_path, monkeypatch):
    """Readers go by the JSON; were it first, a crash would leave a name with nothing behind it."""
    order = []
    replace = os.replace
    monkeypatch.setattr(_files.os, "replace", lambda a, b: (order.append(b.suffix), replace(a, b)))
    write_arrays(tmp_path / "a", {"x": np.arange(3.0)}, {})
    assert order == [".safetensors", ".json"]
    assert json.loads((tmp_path / "a.json").read_text())["format"] == _files.FORMAT
