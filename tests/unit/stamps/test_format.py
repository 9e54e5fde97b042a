import errno
import json
import resource
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from galadapt.core.errors import DataError, RunError
from galadapt.stamps.format import StampSet, write_stamps
from galadapt.stamps.preprocess import Contrast, Divide, Peak, Rebin, apply_chain, make_variant

METADATA = {"pixel_scale": 0.06, "zero_point": 25.9, "band": "F160W", "domain": "simulated"}


def table(count, first=0):
    splits = np.resize(["train", "validation", "test"], count)
    return pd.DataFrame(
        {
            "id": first + np.arange(count),
            "split": splits,
            "magnitude": np.linspace(20, 22, count),
            "name": [f"galaxy é{k}" for k in range(count)],
        }
    )


def stamps(count, side=8, seed=1):
    return np.random.default_rng(seed).normal(size=(count, side, side)).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "set.h5"


def write(path, count=5, side=8, first=0, metadata=METADATA, unit="electron/s"):
    images = stamps(count, side, seed=first)
    write_stamps(path, [images[:2], images[2:]], table(count, first), metadata, unit=unit)
    return images


def test_round_trip(path):
    images = write(path)
    with StampSet(path) as loaded:
        assert (len(loaded), loaded.side, loaded.unit) == (5, 8, "electron/s")
        np.testing.assert_array_equal(loaded.images(), images)
        assert loaded.table.to_dict("list") == table(5).to_dict("list")
        assert loaded.metadata == METADATA
        assert loaded.rows("train").tolist() == [0, 3]
        with h5py.File(path) as file:
            assert file["images"].dtype == np.dtype("<f4")
            assert file["table/magnitude"].attrs["unit"] == "mag"


def test_rows_in_any_order_over_shards(tmp_path):
    parts = [write(tmp_path / f"{k}.h5", 30, first=100 * k) for k in range(3)]
    whole = np.concatenate(parts)
    with StampSet([tmp_path / f"{k}.h5" for k in range(3)]) as loaded:
        for rows in ([89, 0, 31, 30, 29], [5], [], [60, 60, 1]):
            np.testing.assert_array_equal(loaded.images(rows), whole[rows])
        np.testing.assert_array_equal(np.concatenate(list(loaded.batches(7))), whole)
        assert loaded.table["id"].tolist() == [*range(30), *range(100, 130), *range(200, 230)]


@pytest.mark.parametrize("rows", [[-1], [5], [0, 7]])
def test_rows_outside_are_refused(path, rows):
    write(path)
    with StampSet(path) as loaded, pytest.raises(IndexError, match="of 5 stamps"):
        loaded.images(rows)


def test_equal_content_gives_equal_bytes(tmp_path):
    write(tmp_path / "a.h5")
    write(tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_columns_filled_while_images_are_made_are_stored(path):
    rows = table(3)
    rows["peak"] = 0.0

    def batches():
        images = stamps(3)
        yield images
        rows["peak"] = images.max(axis=(1, 2))

    write_stamps(path, batches(), rows, METADATA)
    assert (StampSet(path).table["peak"] > 0).all()


BAD_WRITES = {
    "metadata": (lambda: ([stamps(2)], table(2), {"band": "F160W"}), "metadata lacks pixel_scale"),
    "no id": (
        lambda: ([stamps(2)], table(2).drop(columns="id"), METADATA),
        "lacks the column 'id'",
    ),
    "split": (
        lambda: ([stamps(2)], table(2).assign(split="exam"), METADATA),
        "split 'exam' is none of train, validation, test",
    ),
    "same id": (lambda: ([stamps(2)], table(2).assign(id=7), METADATA), "id 7 stands twice"),
    "few": (lambda: ([stamps(2)], table(3), METADATA), "2 stamps for 3 table rows"),
    "many": (lambda: ([stamps(4)], table(3), METADATA), "must match"),
    "none": (lambda: ([], table(3), METADATA), "0 stamps for 3 table rows"),
    "oblong": (lambda: ([np.zeros((2, 4, 6))], table(2), METADATA), "must be .n, side, side."),
    "sizes": (lambda: ([stamps(1), stamps(1, 6)], table(2), METADATA), "must match"),
    "nan": (lambda: ([np.full((2, 4, 4), np.nan)], table(2), METADATA), "stamp 0 holds NaN"),
    "too large": (lambda: ([np.full((2, 4, 4), 1e39)], table(2), METADATA), "stamp 0 holds NaN or"),
}


@pytest.mark.parametrize("case", BAD_WRITES, ids=str)
def test_bad_content_is_refused_and_leaves_no_file(path, case):
    make, message = BAD_WRITES[case]
    with pytest.raises(DataError, match=message):
        write_stamps(path, *make())
    assert list(path.parent.iterdir()) == []


def test_a_failed_write_keeps_the_old_file(path):
    images = write(path)
    with pytest.raises(DataError, match="stamps for"):
        write_stamps(path, [stamps(1)], table(2), METADATA)
    np.testing.assert_array_equal(StampSet(path).images(), images)


def damage(path, change):
    write(path)
    with h5py.File(path, "r+") as file:
        change(file)


def _without(key):
    def change(file):
        del file[key]

    return change


def _attribute(key, value):
    def change(file):
        if value is None:
            del file.attrs[key]
        else:
            file.attrs[key] = value

    return change


def _double_images(file):
    del file["images"]
    file["images"] = np.zeros((5, 8, 8))


def _short_column(file):
    del file["table/magnitude"]
    file["table/magnitude"] = np.zeros(4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_attribute("schema", "galadapt-stamps-0"), "schema is 'galadapt-stamps-0'"),
        (_attribute("schema", None), "schema is None, this version reads 'galadapt-stamps-1'"),
        (_attribute("columns", None), "lacks readable 'columns' or 'metadata'"),
        (_attribute("metadata", "{"), "lacks readable 'columns' or 'metadata'"),
        (_attribute("metadata", json.dumps({"band": "x"})), "lacks pixel_scale"),
        (_without("images"), "lacks 'images' or 'table'"),
        (_without("table"), "lacks 'images' or 'table'"),
        (_double_images, "images are float64"),
        (_short_column, "column 'magnitude' is missing or does not have 5 rows"),
        (_without("table/split"), "column 'split' is missing"),
    ],
)
def test_a_damaged_file_is_one_sentence(path, change, message):
    damage(path, change)
    with pytest.raises(DataError, match=message) as caught:
        StampSet(path)
    assert str(caught.value).startswith(str(path))
    assert "delete it and rerun its stage" in str(caught.value)


def test_not_hdf5_truncated_and_absent(path):
    with pytest.raises(DataError, match="no such stamp set"):
        StampSet(path)
    path.write_text("hello")
    with pytest.raises(DataError, match="not a readable HDF5 file"):
        StampSet(path)
    write(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="not a readable HDF5 file"):
        StampSet(path)
    with pytest.raises(DataError, match="no stamp set was given"):
        StampSet([])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"side": 6}, r"stamps of \(6, 6\) beside"),
        ({"unit": ""}, "unit  beside .* with electron/s"),
        ({"metadata": METADATA | {"pixel_scale": 0.1}}, "pixel_scale 0.1 beside .* with 0.06"),
        ({"metadata": METADATA | {"domain": "survey"}}, "domain survey beside .* simulated"),
    ],
)
def test_shards_that_disagree(tmp_path, other, message):
    write(tmp_path / "a.h5")
    write(tmp_path / "b.h5", first=50, **other)
    with pytest.raises(DataError, match=message):
        StampSet([tmp_path / "a.h5", tmp_path / "b.h5"])


def test_shards_with_other_columns(tmp_path):
    write(tmp_path / "a.h5")
    write_stamps(tmp_path / "b.h5", [stamps(2)], table(2, 9).drop(columns="name"), METADATA)
    with pytest.raises(DataError, match=r"b\.h5: columns .* beside"):
        StampSet([tmp_path / "a.h5", tmp_path / "b.h5"])


def test_a_split_of_another_column(path):
    write(path)
    with StampSet(path) as loaded:
        assert loaded.rows("galaxy é3", "name").tolist() == [3]
        with pytest.raises(DataError, match="lacks the column 'split_by_stamp'; rerun"):
            loaded.rows("train", "split_by_stamp")


def test_masks_travel_with_their_stamps(path):
    images, masks = stamps(6), stamps(6, seed=9) > 0
    batches = [(images[:4], masks[:4]), (images[4:], masks[4:])]
    write_stamps(path, batches, table(6), METADATA, masks=True)
    with StampSet(path) as loaded:
        assert loaded.has_masks
        np.testing.assert_array_equal(loaded.masks([5, 0, 2]), masks[[5, 0, 2]])
        assert loaded.masks().dtype == np.bool_


def test_masks_of_another_shape_are_refused(path):
    with pytest.raises(DataError, match=r"masks \(2, 4, 4\) for stamps \(2, 8, 8\)"):
        write_stamps(path, [(stamps(2), np.zeros((2, 4, 4), bool))], table(2), METADATA, masks=True)
    assert not path.exists()


def test_a_set_without_masks_says_so(path):
    write(path)
    with StampSet(path) as loaded:
        assert not loaded.has_masks
        with pytest.raises(DataError, match="holds no masks"):
            loaded.masks()


def test_stamps_may_have_channels(tmp_path):
    images = np.arange(2 * 4 * 4 * 3, dtype=np.float32).reshape(2, 4, 4, 3)
    names = ["red", "green", "blue"]
    metadata = {**METADATA, "pixel_scale": None, "channels": names}
    write_stamps(tmp_path / "stamps.h5", [images], table(2), metadata, unit="8-bit")
    with StampSet(tmp_path / "stamps.h5") as opened:
        assert (opened.side, opened.channels, opened.metadata["channels"]) == (4, 3, names)
        np.testing.assert_array_equal(opened.images([1]), images[1:])
        np.testing.assert_array_equal(opened.inputs(), images)
    steps = [Rebin(factor=2), Divide(by=255.0), Peak(), Contrast()]
    make_variant([tmp_path / "stamps.h5"], steps, tmp_path / "variant.h5", {})
    with StampSet(tmp_path / "variant.h5") as opened:
        assert opened.images().shape == (2, 2, 2, 3) and opened.metadata["channels"] == names
        assert opened.metadata["pixel_scale"] is None
    rebinned = apply_chain(images, [Rebin(factor=2)], None)
    for channel in range(3):
        alone = apply_chain(images[..., channel], [Rebin(factor=2)], None)
        np.testing.assert_array_equal(rebinned[..., channel], alone)
    # A stamp is scaled to the brightest pixel of all its channels: colours stay.
    peak = apply_chain(images, [Peak()], None)
    np.testing.assert_allclose(
        peak[1] / peak[1, ..., :1], images[1] / images[1, ..., :1], rtol=1e-6
    )
    with pytest.raises(DataError, match="3 channels in the images, but metadata names None"):
        write_stamps(tmp_path / "other.h5", [images], table(2), METADATA)


def test_stamps_without_channels_read_as_one(tmp_path):
    images = stamps(3)
    write_stamps(tmp_path / "stamps.h5", [images], table(3), METADATA)
    with StampSet(tmp_path / "stamps.h5") as opened:
        assert opened.channels == 1
        np.testing.assert_array_equal(opened.inputs([2]), images[2:, ..., None])


def open_files():
    return {str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.exists()}


def test_many_shards_need_few_open_files(tmp_path, monkeypatch):
    paths = [tmp_path / f"{k}.h5" for k in range(30)]
    whole = np.concatenate([write(path, 4, first=100 * k) for k, path in enumerate(paths)])
    # A process may have 40 files open; others of its files are open too.
    monkeypatch.setattr(resource, "getrlimit", lambda _: (40, 40))
    with StampSet(paths) as loaded:
        rows = np.random.default_rng(1).permutation(len(whole))
        np.testing.assert_array_equal(loaded.images(rows), whole[rows])
        assert len(open_files() & {str(path) for path in paths}) <= 5
    assert not open_files() & {str(path) for path in paths}


def raising(message, number):
    real = h5py.File

    def opened(*arguments, **options):
        if "locking" in options:
            return real(*arguments, **options)
        raise OSError(number, f"Unable to synchronously open file ({message})")

    return opened


def test_a_limit_of_open_files_is_no_broken_file(path, monkeypatch):
    write(path)
    message = "unable to open file: errno = 24, error message = 'Too many open files'"
    monkeypatch.setattr(h5py, "File", raising(message, None))
    with pytest.raises(RunError, match=r"set\.h5: Too many open files; allow more .*ulimit -n"):
        StampSet(path)


def test_a_file_open_elsewhere_is_not_to_be_deleted(path):
    write(path)
    writer = f"import h5py, sys; f = h5py.File({str(path)!r}, 'r+'); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", writer], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        with pytest.raises(RunError, match=r"open in another program") as caught:
            StampSet(path)
        assert "delete" not in str(caught.value)
        other.communicate(b"\n")
    with StampSet(path) as loaded:
        assert len(loaded) == 5


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_read(path, monkeypatch, number, caplog):
    images = write(path)
    monkeypatch.setattr(h5py, "File", raising("unable to lock file", number))
    with caplog.at_level("INFO", "galadapt"), StampSet(path) as loaded:
        np.testing.assert_array_equal(loaded.images(), images)
    assert caplog.text.count("has no locks") == 1
