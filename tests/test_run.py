"""A run directory: whole or absent, and a fit that meets a fault at any write ends in the same bits once resumed."""

import errno
import fcntl
import json
import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from varinf import _files, run
from varinf._files import DamagedFileError
from varinf.cli import main
from varinf.config import make_settings
from varinf.errors import InputError
from varinf.run import Run

SETTINGS = make_settings({"source": "digits", "epochs": 3})
RESULTS = {"rows": 8, "elbo": -1.0, "row": {}, "seconds": 2.0}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def names(folder="."):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


# --- one directory -------------------------------------------------------------------------------------------------


def test_a_new_run_has_its_settings_and_can_be_opened():
    made = Run.create(Path("a/run"), SETTINGS)
    assert names() == ["a", "a/run", "a/run/settings.toml"]
    assert Run.open(made.path).settings == SETTINGS
    assert not made.finished
    assert made.metrics() == []


def test_an_empty_folder_will_do_and_a_full_one_not():
    Path("empty").mkdir()
    Run.create(Path("empty"), SETTINGS)
    Path("full").mkdir()
    Path("full/x").touch()
    with pytest.raises(InputError, match="not a run"):
        Run.create(Path("full"), SETTINGS)
    with pytest.raises(InputError, match="exists"):
        Run.create(Path("empty"), SETTINGS)


def test_a_link_is_followed():
    Path("empty").mkdir()
    Path("link").symlink_to("empty")
    Run.create(Path("link"), SETTINGS).discard()
    assert names() == ["empty", "link"]
    Run.create(Path("link"), SETTINGS).write_results(RESULTS)
    for finish in (Run.discard, Run.supersede):
        made = Run.create(Path("link"), SETTINGS, overwrite=True)
        assert not Run.open(Path("link")).finished
        finish(made)
    assert names() == ["empty", "empty/settings.toml", "link"]
    assert Path("link").is_symlink()


def test_a_name_too_long_is_told_as_it_was_given():
    for length in (246, 255):
        with pytest.raises(InputError, match=f"^x+: expected a name of at most 245 bytes, got {length};"):
            Run.create(Path("x" * length), SETTINGS)
    made = Run.create(Path("x" * 245), SETTINGS)
    Run.create(made.path, SETTINGS, overwrite=True).discard()


def test_runs_begun_in_one_second_get_a_name_each(monkeypatch):
    """Also of one that takes the name in the moment before this one does."""
    monkeypatch.setattr(time, "strftime", lambda _: "now")
    mkdir = Path.mkdir

    def late(path, *arguments, **options):
        if path == Path("runs/digits-now"):
            monkeypatch.setattr(Path, "mkdir", mkdir)
            mkdir(path)
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", late)
    made = Run.create(None, SETTINGS)
    assert names("runs") == ["digits-now", "digits-now-2", "digits-now-2/settings.toml"]
    made.discard()
    Path("runs/digits-now").rmdir()
    Run.create(None, SETTINGS).discard()
    assert names() == ["runs"]


def test_the_current_folder_can_be_a_run(tmp_path):
    Run.create(Path(), SETTINGS)
    assert names() == ["settings.toml"]
    Path("below").mkdir()
    os.chdir("below")
    assert Run.open(Path("..")).path == tmp_path


def test_discard_takes_back_what_create_did():
    Run.create(Path("a/b/run"), SETTINGS).discard()
    assert names() == []
    Path("mine").mkdir()
    Run.create(Path("mine/run"), SETTINGS).discard()
    assert names() == ["mine"]


def test_discard_brings_back_what_was_to_be_replaced_and_supersede_does_not():
    Run.create(Path("run"), SETTINGS).write_results(RESULTS)
    before = Run.create(Path("run"), SETTINGS, overwrite=True)
    assert not before.finished
    before.discard()
    assert Run.open(Path("run")).results() == RESULTS
    after = Run.create(Path("run"), SETTINGS, overwrite=True)
    after.write_results(RESULTS | {"elbo": -2.0})
    after.supersede()
    assert names() == ["run", "run/results.json", "run/settings.toml"]


def test_of_two_that_were_put_aside_the_finished_one_comes_back():
    Run.create(Path("run"), SETTINGS).write_results(RESULTS)
    Run.create(Path("run"), SETTINGS, overwrite=True)  # and killed
    Run.create(Path("run"), SETTINGS, overwrite=True).discard()
    assert Run.open(Path("run")).results() == RESULTS
    assert names() == ["run", "run/results.json", "run/settings.toml"]


class Killed(BaseException):
    """What `kill -9` does: nothing after it runs."""


def test_a_kill_at_any_moment_of_create_leaves_a_whole_run(monkeypatch):
    """Old or new; with `overwrite`, and at any of the system calls."""
    whole = []
    for moment in range(100):
        shutil.rmtree("run", ignore_errors=True)
        for path in Path().glob(".run*"):
            shutil.rmtree(path)
        Run.create(Path("run"), SETTINGS).write_results(RESULTS)
        with monkeypatch.context() as patch:
            calls = _count_calls(patch, moment, Killed)
            # nothing is cleaned up by a process that was killed
            patch.setattr(shutil, "rmtree", lambda *_, **__: None)
            patch.setattr(run, "_restore", lambda _: None)
            try:
                Run.create(Path("run"), SETTINGS, overwrite=True)
                killed = False
            except Killed:
                killed = True
        assert Run.open(Path("run")).settings == SETTINGS
        whole.append(Run.open(Path("run")).finished)
        if not killed:
            break
    assert calls > 5
    assert whole[0]
    assert not whole[-1]


def test_metrics_are_cut_where_a_resumed_fit_goes_on():
    made = Run.create(Path("run"), SETTINGS)
    for epoch in range(4):
        made.log(epoch, 10 * epoch + 10, {"elbo": -1.0 / 3 - epoch})
    assert [line["steps"] for line in made.metrics()] == [10, 20, 30, 40]
    with open("run/metrics.jsonl", "ab") as file:
        file.write(b'{"epoch": 4, "st')  # a full disk
    again = Run.open(Path("run"))
    assert len(again.metrics()) == 4
    again.log(2, 30, {"elbo": -7.0})
    again.log(3, 40, {"elbo": -8.0})
    assert [line["elbo"] for line in again.metrics()] == [-1 / 3, -4 / 3, -7.0, -8.0]


def test_history_fills_in_what_a_power_cut_took():
    made = Run.create(Path("run"), SETTINGS)
    history = {"elbo": [-3.0, -2.0, -1 / 3], "kl": [0.1, 0.2, 0.3]}
    for epoch in range(3):
        made.log(epoch, 5 * epoch + 5, {name: values[epoch] for name, values in history.items()})
    whole = Path("run/metrics.jsonl").read_bytes()
    made.write_history(history, 5)
    assert Path("run/metrics.jsonl").read_bytes() == whole
    Path("run/metrics.jsonl").write_bytes(whole[:70])
    made.write_history(history, 5)
    assert Path("run/metrics.jsonl").read_bytes() == whole


def test_damage_is_told():
    made = Run.create(Path("run"), SETTINGS)
    with pytest.raises(InputError, match="not finished"):
        made.results()
    for content in ("{", "{}", "null", '{"epoch": 0}', "[1]"):
        Path("run/results.json").write_text(content)
        Path("run/metrics.jsonl").write_text(content + "\n")
        with pytest.raises(DamagedFileError, match=r"results\.json is damaged"):
            made.results()
        with pytest.raises(DamagedFileError, match=r"metrics\.jsonl is damaged"):
            made.metrics()
    settings = Path("run/settings.toml")
    for content in ("", settings.read_text().partition("[train]")[0]):
        settings.write_text(content)
        with pytest.raises(DamagedFileError, match=r"settings\.toml is damaged: it lacks the section \["):
            Run.open(Path("run"))


def test_of_two_that_begin_one_run_the_second_is_told(monkeypatch):
    said = []

    def begin_too():
        with pytest.raises(InputError, match="run exists"):
            Run.create(Path("run"), SETTINGS)
        said.append("exists")

    second = threading.Thread(target=begin_too)

    def write(path, content):
        second.start()
        second.join(0.2)
        assert said == []  # it waits
        _files.write_file(path, content)

    monkeypatch.setattr(run, "write_file", write)
    Run.create(Path("run"), SETTINGS)
    second.join()
    assert said == ["exists"]
    assert names() == ["run", "run/settings.toml"]


def test_a_disk_without_locks(monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with Run.create(Path("run"), SETTINGS).lock():
        pass


def test_one_process_at_a_time():
    made = Run.create(Path("run"), SETTINGS)
    with made.lock(), pytest.raises(InputError, match="another process is at work on run"), Run.open(made.path).lock():
        pass
    with made.lock():
        pass


# --- a fault at every write ----------------------------------------------------------------------------------------

FIT = ["fit", "x.npy", "--latent-dim", "1", "--hidden", "3", "--epochs", "2", "--batch-size", "12", "--patience", "1"]


def _count_calls(patch, at, error):
    """Make the call number `at` of those that change the disk fail; says how many there are before it."""
    calls = [0]

    def counted(function):
        def call(*arguments, **options):
            calls[0] += 1
            if calls[0] == at + 1:
                raise error
            return function(*arguments, **options)

        return call

    def opened(path, mode="r", **options):
        file = real_open(path, mode, **options)
        if "w" not in mode and "a" not in mode:
            return file
        return _Writer(file, counted(file.write))

    real_open = open
    patch.setattr(_files, "open", counted(opened), raising=False)
    patch.setattr(run, "open", counted(opened), raising=False)
    for name in ("fsync", "replace"):
        patch.setattr(os, name, counted(getattr(os, name)))
    patch.setattr(Path, "mkdir", counted(Path.mkdir))
    return _Calls(calls)


class _Calls:
    def __init__(self, calls):
        self._calls = calls

    def __gt__(self, other):
        return self._calls[0] > other

    def __int__(self):
        return self._calls[0]


class _Writer:
    """A file whose writes may fail when half of the content is written, as on a full disk."""

    def __init__(self, file, write):
        self._file, self._write = file, write

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def __getattr__(self, name):
        return getattr(self._file, name)

    def write(self, content):
        try:
            return self._write(content)
        except BaseException:
            self._file.write(content[: len(content) // 2])
            self._file.flush()
            raise


@pytest.fixture
def _quick(monkeypatch):
    """A checkpoint at each boundary, and no pictures, whose files are written in the same way."""
    monkeypatch.setattr("varinf.job._fit._CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("varinf.job._figures._EVALUATION_SAMPLES", 5)

    def draw(*_, folder, **__):
        _files.write_file(folder / "one.png", b"a picture")

    monkeypatch.setattr("varinf.report.write_pictures", draw)


@pytest.mark.usefixtures("_quick")
def test_a_fault_at_every_write_then_resume(tmp_path, monkeypatch, capsys):
    np.save("x.npy", np.random.default_rng(0).normal(size=(30, 3)))
    assert main([*FIT, "--out", "whole"]) == 0
    compared = ["model.safetensors", "model.json", "metrics.jsonl"]
    discarded = resumed = 0
    for at in range(1000):
        shutil.rmtree("run", ignore_errors=True)
        with monkeypatch.context() as patch:
            calls = _count_calls(patch, at, OSError(28, "No space left on device"))
            capsys.readouterr()
            code = main([*FIT, "--out", "run"])
        err = capsys.readouterr().err.splitlines()
        if int(calls) <= at:
            assert (code, err) == (0, [])
            break
        assert code == 2, at
        assert len(err) == 1
        assert "No space left on device" in err[0]
        assert not list(Path().rglob(".*")), at
        if not Path("run").exists():
            discarded += 1
            assert "resume" not in err[0]
            continue
        resumed += 1
        assert err[0].endswith("; go on with: varinf fit --resume run")
        assert main(["fit", "--resume", "run"]) == 0
        for name in compared:
            assert Path("run", name).read_bytes() == Path("whole", name).read_bytes(), (at, name)
        assert sorted(names("run/snapshots")) == sorted(names("whole/snapshots"))
        ours, theirs = (json.loads(Path(r, "results.json").read_text()) | {"seconds": 0} for r in ("run", "whole"))
        assert ours == theirs
    # settings, then per epoch a line, a snapshot and a checkpoint of two files; then model, picture and results
    assert discarded >= 5
    assert resumed >= 25
