import errno
import fcntl
import json
import math
import os
import platform
import subprocess

import numpy as np
import pandas as pd
import pytest

from galadapt.core.errors import DataError, RunError
from galadapt.core.files import (
    atomic,
    canonical_json,
    locked,
    read_json,
    read_table,
    write_csv,
    write_json,
    write_parquet,
    write_text,
)


def test_atomic_creates_folders_and_leaves_one_file(tmp_path):
    path = tmp_path / "a" / "b" / "out.tar.gz"
    with atomic(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.name.endswith("out.tar.gz")
        temporary.write_text("new")
        assert not path.exists()
    assert [one.name for one in path.parent.iterdir()] == ["out.tar.gz"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_keeps_the_old_content(tmp_path, error):
    path = tmp_path / "out.txt"
    write_text(path, "old")
    with pytest.raises(error), atomic(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["out.txt"]


def test_canonical_json_does_not_depend_on_order_or_numpy():
    first = {"b": np.float64(0.5), "a": [np.int32(1), np.array([1, 2])]}
    assert canonical_json(first) == canonical_json({"a": [1, [1, 2]], "b": 0.5})
    assert canonical_json(first) == '{"a":[1,[1,2]],"b":0.5}'


def test_canonical_json_refuses_what_it_cannot_say():
    with pytest.raises(TypeError, match="cannot write set as JSON"):
        canonical_json({1, 2})


def test_json_round_trip_and_nan(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"z": math.nan, "a": np.inf, "path": tmp_path, "n": [np.bool_(True)]})
    assert read_json(path) == {"z": None, "a": None, "path": str(tmp_path), "n": [True]}
    assert list(json.loads(path.read_text())) == ["a", "n", "path", "z"]


def test_json_errors(tmp_path):
    with pytest.raises(DataError, match=r"x\.json: no such file; rerun"):
        read_json(tmp_path / "x.json")
    for content in (b"{", b"", b"\xff\xfe{}"):
        (tmp_path / "x.json").write_bytes(content)
        with pytest.raises(DataError, match=r"x\.json: not valid JSON"):
            read_json(tmp_path / "x.json")


@pytest.mark.parametrize(("write", "name"), [(write_csv, "t.csv"), (write_parquet, "t.parquet")])
def test_tables_round_trip(tmp_path, write, name):
    table = pd.DataFrame({"id": [1, 2], "value": [0.1, 1 / 3], "band": ["a", "b"]})
    write(tmp_path / name, table)
    pd.testing.assert_frame_equal(read_table(tmp_path / name), table)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_table_errors(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(DataError, match="no such file; rerun the stage that writes it"):
        read_table(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="not a readable table"):
        read_table(path)
    path.write_bytes(b'a,b\n1,2,3\n"\xff\xfe')
    with pytest.raises(DataError, match="not a readable table"):
        read_table(path)


def test_what_a_killed_writer_left_is_removed_and_a_living_ones_kept(tmp_path):
    killed = subprocess.Popen(["true"])
    killed.wait()
    host = platform.node()
    left = tmp_path / f".{host}-{killed.pid}-0a1b2c3d-table.json"
    living = tmp_path / f".{host}-{os.getppid()}-0a1b2c3d-table.json"
    other = tmp_path / f".{host}-{killed.pid}-0a1b2c3d-other.json"
    for path in (left, living, other):
        path.write_text("half")
    write_json(tmp_path / "table.json", {"whole": True})
    assert sorted(tmp_path.iterdir()) == sorted([living, other, tmp_path / "table.json"])


#: How a writer fails where there is no room: the system, HDF5, astropy.
NO_ROOM = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError("Can't write data (file write failed, errno = 28, error message = 'No space left')"),
    OSError("Not enough space on disk: requested 8000000, available 12."),
]


@pytest.mark.parametrize("error", NO_ROOM, ids=str)
def test_no_room_is_one_sentence_that_names_the_file(tmp_path, error):
    path = tmp_path / "out.h5"
    with pytest.raises(RunError) as caught, atomic(path) as temporary:
        temporary.write_text("half")
        raise error
    assert str(caught.value).startswith(f"{path}: No space left on device; make room")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for inner in ("a.csv", "folder/a.csv"):
        with pytest.raises(RunError, match=rf"{inner}: cannot be written, as .* is no folder"):
            write_csv(tmp_path / "file" / inner, pd.DataFrame({"a": [1]}))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_another_error_stays_itself(tmp_path):
    with pytest.raises(OSError, match="of the library"), atomic(tmp_path / "out"):
        raise OSError("an error of the library")


def test_a_file_system_without_locks_is_used_with_a_word(tmp_path, monkeypatch, caplog):
    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    with caplog.at_level("INFO", "galadapt"):
        for _ in range(2):
            with locked(tmp_path, refused="another works here"):
                pass
    assert caplog.text.count("this file system has no locks") == 1
