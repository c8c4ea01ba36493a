"""CSV and Parquet: numbers become a matrix, all else is named."""

import gzip
import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from varinf import data
from varinf.errors import InputError


def rows_of(source):
    return source.take(np.arange(len(source)))


def csv(tmp_path, text, name="x.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("a,b\n1,2.5\n3,4\n", ("a", "b"), [[1, 2.5], [3, 4]]),
        ("a;b\n1;2\n", ("a", "b"), [[1, 2]]),
        ("a\tb\n1\t2\n", ("a", "b"), [[1, 2]]),
        ("\ufeffa,b\r\n1,2\r\n", ("a", "b"), [[1, 2]]),
        ("a,ok\n1e-6,true\n1e9,false\n", ("a", "ok"), [[1e-6, 1], [1e9, 0]]),
        ("a,b\n1,\n,2\n3,NaN\n", ("a", "b"), [[1, np.nan], [np.nan, 2], [3, np.nan]]),
        ("a,b\n1,\n2,\n", ("a", "b"), [[1, np.nan], [2, np.nan]]),
        ("a,ok\n1,true\n1,\n", ("a", "ok"), [[1, 1], [1, np.nan]]),
        ("1,2\n3,4\n", ("f0", "f1"), [[1, 2], [3, 4]]),
        ("1,,2\n3,4,5\n", ("f0", "f1", "f2"), [[1, np.nan, 2], [3, 4, 5]]),
        ("1.5,NA\n3,4\n", ("f0", "f1"), [[1.5, np.nan], [3, 4]]),
        ("null,2\n3,4\n", ("f0", "f1"), [[np.nan, 2], [3, 4]]),
        ("5,true\n6,false\n", ("f0", "f1"), [[5, 1], [6, 0]]),
        ("true,ok\n5,true\n6,false\n", ("true", "ok"), [[5, 1], [6, 0]]),
        # as pandas writes columns without names
        ("0,1\n5,6\n", ("0", "1"), [[5, 6]]),
        (",0,1\n0,5.5,6\n1,7,8\n", ("0", "1"), [[5.5, 6], [7, 8]]),
        ("0\n1\n", ("f0",), [[0], [1]]),
        ("0,2\n1,3\n", ("f0", "f1"), [[0, 2], [1, 3]]),
        # as pandas and R write the index of the rows
        (",a,b\n5,1,2\n7,3,4\n", ("a", "b"), [[1, 2], [3, 4]]),
        ('"","a"\n"Ann",1\n"Bob",3\n', ("a",), [[1], [3]]),
        (",a\n2020-01-01,1\n2020-01-02,3\n", ("a",), [[1], [3]]),
        (",a\n0.5,1\n0.7,3\n", ("", "a"), [[0.5, 1], [0.7, 3]]),
        (",a,\n5,1,2\n", ("", "a", ""), [[5, 1, 2]]),
        ("a,\n1,2\n", ("a", ""), [[1, 2]]),
        ('"a, m";b\n1;2\n', ("a, m", "b"), [[1, 2]]),
        ('"a;b;c",d\n1,2\n', ("a;b;c", "d"), [[1, 2]]),
        ("a\tb, m\tc\n1\t2\t3\n", ("a", "b, m", "c"), [[1, 2, 3]]),
        ("a,b;c\n1,2\n", ("a", "b;c"), [[1, 2]]),
        ("a,a\n1,2\n", ("a", "a"), [[1, 2]]),
        ("target,class\n1,7\n", ("target", "class"), [[1, 7]]),
    ],
)
def test_csv(tmp_path, text, columns, rows):
    source = data.open(csv(tmp_path, text))
    assert source.spec == data.Spec((len(columns),), np.dtype(np.float64), "table", None, columns)
    np.testing.assert_array_equal(rows_of(source), rows)
    assert source.labels is None


def test_csv_whose_type_shows_late(tmp_path):
    text = "a\n" + "1000000000000\n" * 700_000 + "2.5\n"  # beyond the block that PyArrow looks at first
    source = data.open(csv(tmp_path, text))
    assert rows_of(source)[-1] == 2.5


def test_csv_of_many_columns(tmp_path):
    """A line of 1.2 MB is longer than PyArrow's own blocks."""
    width = 5_000
    text = ",".join(f"c{i}" for i in range(width)) + "\n" + ",".join(["0.125" + "0" * 235] * width) + "\n"
    assert data.open(csv(tmp_path, text)).spec.shape == (width,)


@pytest.mark.parametrize("name", ["label", "Labels", "class"])
def test_a_text_column_of_that_name_is_labels(tmp_path, name):
    source = data.open(csv(tmp_path, f"a,{name}\n1,cat\n2,dog\n3,\n"))
    assert source.spec.columns == ("a",)
    assert source.labels.tolist() == ["cat", "dog", ""]


@pytest.mark.parametrize(
    ("cells", "labels"), [(["3", "1"], [3, 1]), (["0.5", ""], [0.5, np.nan]), (["dog", ""], ["dog", ""])]
)
def test_the_column_that_is_named_is_labels(tmp_path, cells, labels):
    text = "a,kind,b,class\n" + "".join(f"{i},{cell},{i},{i}\n" for i, cell in enumerate(cells))
    source = data.open(csv(tmp_path, text), label="kind")
    assert source.spec.columns == ("a", "b", "class")
    np.testing.assert_array_equal(source.labels, labels)


def test_a_column_of_labels_that_cannot_be(tmp_path):
    path = csv(tmp_path, "a,kind,b,b,day\n1,2,3,4,2020-01-01\n")
    with pytest.raises(InputError, match=r"unknown column of .*x\.csv 'kinds'; .*Did you mean 'kind'"):
        data.open(path, label="kinds")
    with pytest.raises(InputError, match="one column 'b' for the labels, got several"):
        data.open(path, label="b")
    with pytest.raises(InputError, match=r"date32.* in column 'day'"):
        data.open(path, label="day")
    np.save(tmp_path / "x.npy", np.ones((2, 2)))
    np.savez(tmp_path / "x.npz", np.ones((2, 2)))
    for where in (tmp_path / "x.npy", tmp_path / "x.npz", tmp_path, "digits"):
        with pytest.raises(InputError, match="label is for CSV and Parquet files"):
            data.open(where, label="kind")


IRIS = "5.1,3.5,Iris-setosa\n4.9,NA,Iris-setosa\n7,3.2,Iris-versicolor\n"  # as UCI has it


@pytest.mark.parametrize(
    ("text", "label", "columns", "labels"),
    [
        (IRIS, "f2", ("f0", "f1"), ["Iris-setosa", "Iris-setosa", "Iris-versicolor"]),
        ("country,2019,2020\nFR,1,2\nDE,3,4\n", "country", ("2019", "2020"), ["FR", "DE"]),
        # above numbers there is a name, so that the word that comes again is one too
        ("a,rank\n1,order\n2,rank\n", "rank", ("a",), ["order", "rank"]),
    ],
)
def test_a_first_row_with_words(tmp_path, text, label, columns, labels):
    path = csv(tmp_path, text)
    source = data.open(path, label=label)
    assert source.spec.columns == columns
    assert source.labels.tolist() == labels
    with pytest.raises(InputError, match=f"in column '{label}' .*, with --label '{label}' .* with --target '{label}'$"):
        data.open(path)


def test_words_beside_the_labels_are_not_to_be_labels(tmp_path):
    with pytest.raises(InputError, match=r"string in column 'b' \('u', for example\); drop or encode it$"):
        data.open(csv(tmp_path, "a,b,kind\n1,u,x\n2,v,y\n"), label="kind")


def test_a_tsv_has_tabs_where_there_are_as_many_commas(tmp_path):
    assert data.open(csv(tmp_path, "a\tb, m\n1\t2\n", "x.tsv")).spec.columns == ("a", "b, m")


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_gzipped_csv(tmp_path, mark):
    content = gzip.compress(f"a{mark}b\n1{mark}2\n".encode())
    assert rows_of(data.open(csv(tmp_path, content, "x.csv.gz"))).tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("a,b\n", "got 0 rows and 2 columns"),
        ("label\ncat\n", "got 1 rows and 0 columns"),
        ("a,name\n1,Ann\n", r"string in column 'name' \('Ann'"),
        ("a,b\n1,2\n3,4\n5,x6\n", r"string in column 'b' \('x6', for example\)"),
        ("a,day\n1,2020-01-01\n", "date32.* in column 'day'"),
        ("a,b\n1,2\n3\n", "Expected 2 columns, got 1"),
        ("a,b\n1,2,3\n", "Expected 2 columns, got 3"),
        (b"a,b\n1,\xff\xfe\n", "binary in column 'b'"),
        (b"\xff\xfe,b\n1,2\n", "damaged or not a CSV"),
        ("\0\0\0\0", "damaged|rows and"),
        ('a,b\n1,"2\n', "damaged|column"),
    ],
)
def test_csv_faults(tmp_path, text, message):
    path = csv(tmp_path, text)
    with pytest.raises(InputError, match=message) as caught:
        data.open(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_values_are_counted_by_the_summary(tmp_path):
    source = data.open(csv(tmp_path, "a,b\n1,2\n,3\n4,\n"))
    with pytest.raises(InputError, match=r"x\.csv: .* 2 values .* in row 1 .* column 'a'"):
        data.summarize(source)


def write_parquet(tmp_path, columns):
    path = tmp_path / "x.parquet"
    parquet.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    ("columns", "dtype", "rows"),
    [
        ({"a": [1, 2], "b": [0.5, None]}, "float64", [[1, 0.5], [2, np.nan]]),
        ({"a": pa.array([1, None], pa.int64())}, "float64", [[1], [np.nan]]),
        ({"a": pa.array([1, 2], pa.float32()), "b": pa.array([1, 2], pa.float16())}, "float32", [[1, 1], [2, 2]]),
        ({"a": [True, None], "b": pa.array([1, 2], pa.uint64())}, "float64", [[1, 1], [np.nan, 2]]),
        ({"a": pa.array([1, 2], pa.decimal128(5, 2))}, "float64", [[1], [2]]),
        ({"a": pa.nulls(2)}, "float64", [[np.nan], [np.nan]]),
        ({"a": pa.array([7, 8, 7]).dictionary_encode()}, "float64", [[7], [8], [7]]),
        ({"a": pa.chunked_array([[1.0], [2.0, None]])}, "float64", [[1], [2], [np.nan]]),
    ],
)
def test_parquet(tmp_path, columns, dtype, rows):
    source = data.open(write_parquet(tmp_path, columns))
    assert source.spec == data.Spec((len(columns),), np.dtype(dtype), "table", None, tuple(columns))
    np.testing.assert_array_equal(rows_of(source), rows)


@pytest.mark.parametrize("encode", [False, True])
def test_parquet_labels(tmp_path, encode):
    names = pa.array(["x", "y", None])
    source = data.open(
        write_parquet(tmp_path, {"a": [1, 2, 3], "label": names.dictionary_encode() if encode else names})
    )
    assert source.labels.tolist() == ["x", "y", ""]


def test_parquet_labels_of_a_column_that_is_named(tmp_path):
    source = data.open(
        write_parquet(tmp_path, {"a": [1, 2], "kind": pa.array([7, 8]).dictionary_encode()}), label="kind"
    )
    assert source.spec.columns == ("a",)
    assert source.labels.tolist() == [7, 8]


def test_an_index_that_pandas_wrote_is_left_out(tmp_path):
    table = pa.table({"a": [1.0, 2.0], "id": [7, 8], "__index_level_0__": [5, 7]})
    index = ["id", "__index_level_0__", {"kind": "range", "start": 0, "stop": 2, "step": 1}]
    path = tmp_path / "x.parquet"
    parquet.write_table(table.replace_schema_metadata({"pandas": json.dumps({"index_columns": index})}), path)
    assert data.open(path).spec.columns == ("a",)
    source = data.open(path, label="id")
    assert (source.spec.columns, source.labels.tolist()) == (("a",), [7, 8])


@pytest.mark.parametrize("column", [["u", "v"], [[1], [2]], [{"a": 1}, {"a": 2}], [b"u", b"v"]])
def test_parquet_faults(tmp_path, column):
    with pytest.raises(InputError, match="in column 'b'"):
        data.open(write_parquet(tmp_path, {"a": [1, 2], "b": column}))


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 10**6))
def test_a_parquet_cut_short_is_refused(cut):
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table({"a": [1.0, 2.0]}), sink)
    content = sink.getvalue().to_pybytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.parquet"
        path.write_bytes(content[: cut % len(content)])
        with pytest.raises(InputError, match="damaged or not a Parquet file"):
            data.open(path)


CELLS = st.sampled_from(
    ["1", "-2.5", "", "nan", "x", "true", "label", '"', "'", "\0", "é", "1e999", "2020-01-01", " 3"]
)
MARKS = st.sampled_from([",", ",", ";", "\t", "\n", "\n", "\r\n"])


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.lists(CELLS | MARKS, max_size=40).map(lambda parts: "".join(parts).encode()))
def test_random_text_raises_nothing_else(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.csv"
        path.write_bytes(content)
        try:
            source = data.open(path)
        except InputError:
            return
        assert rows_of(source).shape == (len(source), *source.spec.shape)
        assert len(source.spec.columns) == source.spec.shape[0]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_columns_of_one_name_are_all_written(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    data.write_table(path, [("a", np.array([1.0])), ("b", np.array([2.0])), ("a", np.array([3.0]))])
    again = data.open(path)
    assert again.spec.columns == ("a", "b", "a")
    np.testing.assert_array_equal(again.take(np.arange(1)), [[1, 2, 3]])
