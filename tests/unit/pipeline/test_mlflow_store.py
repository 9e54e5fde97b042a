from __future__ import annotations

import multiprocessing
import shutil
import sqlite3
from pathlib import Path
from urllib.parse import unquote, urlparse

import pandas as pd
import pytest
from metric_rows import value

from galadapt.core.errors import DataError, RunError
from galadapt.core.quantity import PARAMETERS
from galadapt.pipeline import mlflow as mlflow_store
from galadapt.pipeline.mlflow import FINGERPRINT_TAG, PROJECT_TAG, RUN_TAG, track

CONFIGURATION = {"preset": "smoke", "seed": 2026}


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """A migrated, empty database: migrating takes seconds, copying does not."""
    folder = tmp_path_factory.mktemp("empty")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow_store._mlflow()[0](uri).search_experiments()
    return folder / "mlflow.db"


class Store:
    def __init__(self, folder):
        self.folder = folder
        self.uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.manifest = folder / "manifest.csv"

    def track(self, runs, version="", summary=(), project="ours"):
        track(runs, self.uri, "test", self.manifest, CONFIGURATION, version, summary, project)

    client_class = property(lambda self: mlflow_store._mlflow()[0])

    @property
    def client(self):
        return self.client_class(self.uri)

    def runs(self):
        experiment = self.client.get_experiment_by_name("test/smoke/galaxies")
        return {
            run.data.tags.get(RUN_TAG, run.info.run_name): run
            for run in self.client.search_runs([experiment.experiment_id])
        }

    def ids(self):
        return {key: run.info.run_id for key, run in self.runs().items()}


@pytest.fixture
def store(tmp_path, empty_database):
    folder = tmp_path / "store"
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    return Store(folder)


@pytest.fixture
def make(make_run, tiny_model):
    def one(method="baseline", seed=1, **more):
        folder = make_run("asinh", method, seed, n_test=60, model=tiny_model, **more)
        (folder / "figures").mkdir(exist_ok=True)
        (folder / "figures" / "scatter.png").write_bytes(b"a figure")
        return folder

    return one


def artifacts(store, run_id, place=None):
    found = store.client.list_artifacts(run_id, place)
    inner = [path for one in found if one.is_dir for path in artifacts(store, run_id, one.path)]
    return sorted([one.path for one in found if not one.is_dir] + inner)


def artifact_folder(run):
    return Path(unquote(urlparse(run.info.artifact_uri).path))


def test_a_run_holds_everything_of_its_folder(store, make, tiny_model):
    folder = make("dann_supervised")
    store.track([folder])
    (run,) = store.runs().values()
    for name in PARAMETERS:
        assert run.data.metrics[f"r2_survey_{name}"] == value(folder, "survey", name, "r2")
    assert run.data.metrics["survey/bias_magnitude"] == value(folder, "survey", "magnitude", "bias")
    history = store.client.get_metric_history(run.info.run_id, "training/val_loss")
    assert [point.step for point in history] == list(range(1, 9))
    assert run.data.params["method"] == "dann_supervised"
    assert run.data.params["settings.alignment.weight"] == "0.1"
    assert run.info.run_name == "dann_supervised/asinh/seed1"
    assert run.info.end_time - run.info.start_time == 20_000
    assert run.info.status == "FINISHED"
    assert "| survey |" in run.data.tags["mlflow.note.content"]
    assert {data.dataset.name: data.dataset.digest for data in run.inputs.dataset_inputs} == {
        "simulated": "0123456789abcdef",
        "survey": "fedcba9876543210",
    }
    uses = {data.dataset.name: data.tags[0].value for data in run.inputs.dataset_inputs}
    assert uses == {"simulated": "training, testing", "survey": "testing"}
    assert artifacts(store, run.info.run_id) == [
        "breakdown.csv",
        "environment.json",
        "figures/scatter.png",
        "history.csv",
        "metrics.json",
        "model/network.keras",
        "predictions.json",
        "predictions.parquet",
        "run.json",
    ]
    logged = store.client.download_artifacts(run.info.run_id, "model/network.keras")
    assert Path(logged).read_bytes() == tiny_model.read_bytes()


def test_unchanged_runs_are_left_alone_and_changed_ones_replaced(store, make):
    runs = [make("baseline"), make("transfer")]
    store.track(runs)
    first, manifest = store.ids(), store.manifest.read_bytes()
    (runs[0] / "environment.json").write_text(
        (runs[0] / "environment.json").read_text().replace("3.15.1", "3.15.2")
    )
    store.track(runs)
    assert store.ids() == first
    assert store.manifest.read_bytes() == manifest

    old = artifact_folder(store.runs()["galaxies/asinh/transfer/seed1"])
    (runs[1] / "figures" / "scatter.png").write_bytes(b"another figure")
    store.track(runs)
    second = store.ids()
    assert second["galaxies/asinh/baseline/seed1"] == first["galaxies/asinh/baseline/seed1"]
    assert second["galaxies/asinh/transfer/seed1"] != first["galaxies/asinh/transfer/seed1"]
    assert len(second) == 2
    assert not old.exists()
    assert store.manifest.read_bytes() != manifest


def test_a_half_written_run_is_replaced(store, make, monkeypatch):
    run = make()
    with monkeypatch.context() as patch:
        patch.setattr(
            store.client_class, "log_inputs", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            store.track([run])
    (half,) = store.runs().values()
    assert half.info.status == "RUNNING"
    assert FINGERPRINT_TAG not in half.data.tags
    assert not store.manifest.exists()
    store.track([run])
    (whole,) = store.runs().values()
    assert whole.info.run_id != half.info.run_id
    assert whole.info.status == "FINISHED"


def test_other_tracking_code_and_another_description_log_again(store, make):
    run = make()
    ids = []
    for version, described in (("a", "one"), ("a", "one"), ("b", "one"), ("b", "two")):
        methods = {"baseline": {"description": described}}
        track(
            [run],
            store.uri,
            "test",
            store.manifest,
            {**CONFIGURATION, "method_settings": methods},
            version,
        )
        ids.append(store.ids()["galaxies/asinh/baseline/seed1"])
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    (last,) = store.runs().values()
    assert "**baseline**: two" in last.data.tags["mlflow.note.content"]


def test_a_run_logged_by_hand_is_left_alone(store, make):
    store.track([make()])
    experiment = store.client.get_experiment_by_name("test/smoke/galaxies").experiment_id
    store.client.create_run(experiment, run_name="by hand")
    store.track([make()])
    assert "by hand" in store.runs()


def test_runs_that_left_the_experiment_are_deleted(store, make):
    runs = [make("baseline"), make("transfer")]
    store.track(runs)
    store.track(runs[:1])
    assert set(store.ids()) == {"galaxies/asinh/baseline/seed1"}
    assert len(pd.read_csv(store.manifest)) == 1


def test_a_copied_store_does_not_write_into_the_original(store, make, tmp_path):
    run = make()
    store.track([run])
    original = sorted(path for path in store.folder.rglob("*") if path.is_file())
    copy = Store(tmp_path / "copy")
    shutil.copytree(store.folder, copy.folder)
    copy.track([run])
    assert sorted(path for path in store.folder.rglob("*") if path.is_file()) == original
    (tracked,) = copy.runs().values()
    assert artifact_folder(tracked).is_relative_to(copy.folder)


def test_two_processes_at_once_log_each_run_once(store, make):
    runs = [make("baseline"), make("transfer")]
    # A fork would inherit TensorFlow's threads from other tests' imports, and break.
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=store.track, args=(runs,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    experiment = store.client.get_experiment_by_name("test/smoke/galaxies")
    assert len(store.client.search_runs([experiment.experiment_id])) == 2


def test_unfinished_folders_are_refused_before_the_store_is_touched(store, make):
    run = make()
    before = (store.folder / "mlflow.db").read_bytes()
    with pytest.raises(DataError, match="is the same run"):
        store.track([run, run])
    (run / "metrics.json").unlink()
    with pytest.raises(DataError, match=r"unfinished run, lacks metrics\.json; rerun training"):
        store.track([run])
    assert (store.folder / "mlflow.db").read_bytes() == before
    assert not store.manifest.exists()


def test_a_store_that_cannot_be_written_is_one_sentence(store, make):
    (store.folder / "mlflow.db").unlink()
    (store.folder / "mlflow.db").mkdir()
    with pytest.raises(RunError, match=r"mlflow\.db: the MLflow store cannot be written .*galada"):
        store.track([make()])


def test_a_run_without_times_is_refused(store, make):
    run = make()
    (run / "environment.json").write_text("{}")
    with pytest.raises(DataError, match=r"environment\.json: 'started' is not an ISO 8601 time"):
        store.track([run])


def test_the_summary_holds_what_belongs_to_no_run(store, make, tmp_path):
    paths = [tmp_path / name for name in ("tables/comparison.csv", "figures/asinh/maps.png")]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.write_text("content")
    folder = make()
    store.track([folder], summary=paths)
    ids = store.ids()
    assert artifacts(store, ids["galaxies/summary"]) == [
        "figures/asinh/maps.png",
        "tables/comparison.csv",
    ]
    store.track([folder], summary=paths)
    assert store.ids() == ids
    paths[0].write_text("another table")
    store.track([folder], summary=paths)
    after = store.ids()
    assert after.keys() == ids.keys()
    assert [key for key in ids if ids[key] != after[key]] == ["galaxies/summary"]


def test_a_missing_table_leaves_the_store_as_it_was(store, make, tmp_path):
    folder = make()
    store.track([folder])
    before = store.ids()
    with pytest.raises(DataError, match=r"gone\.csv: no such file; rerun"):
        store.track([make("transfer")], summary=[tmp_path / "gone.csv"])
    assert store.ids() == before


def test_runs_of_other_projects_are_left_alone(store, make):
    """Two projects with the same experiments share a store."""
    mine, theirs = make("baseline"), make("transfer")
    store.track([mine], project="ours")
    store.track([theirs], project="theirs")
    assert set(store.ids()) == {f"galaxies/asinh/{name}/seed1" for name in ("baseline", "transfer")}
    before = store.ids()
    (theirs / "figures" / "scatter.png").write_bytes(b"another figure")
    store.track([theirs], project="theirs")
    after = store.ids()
    changed = {key for key in after if after[key] != before[key]}
    assert changed == {"galaxies/asinh/transfer/seed1"}
    assert store.runs()["galaxies/asinh/baseline/seed1"].data.tags[PROJECT_TAG] == "ours"


def test_runs_without_a_project_are_ours_in_a_local_store_alone():
    owned = mlflow_store._owned
    assert owned(None, "ours", local=True)
    assert not owned(None, "ours", local=False)
    assert owned("ours", "ours", local=False)
    assert not owned("theirs", "ours", local=True)


def test_a_summary_stays_where_none_is_given(store, make, tmp_path):
    table = tmp_path / "comparison.csv"
    table.write_text("a table")
    run = make()
    store.track([run], summary=[table])
    before = store.ids()
    store.track([run])
    assert store.ids() == before
    assert "galaxies/summary" in before


HALF_WRITTEN = {
    "no database": lambda path: path.write_bytes(b"SQLite" + bytes(5000)),
    "migrated in part": lambda path: sqlite3.connect(path).executescript(
        "UPDATE alembic_version SET version_num = '451aebb31d03'"
    ),
}


@pytest.mark.parametrize("damage", HALF_WRITTEN)
def test_a_half_written_store_is_set_aside_and_made_anew(store, make, damage, caplog):
    run = make()
    HALF_WRITTEN[damage](store.folder / "mlflow.db")
    damaged = (store.folder / "mlflow.db").read_bytes()
    with caplog.at_level("INFO", "galadapt"):
        store.track([run])
    assert "renamed mlflow.db.broken-1" in caplog.text
    assert (store.folder / "mlflow.db.broken-1").read_bytes()[:100] == damaged[:100]
    # A new process opens the store; here MLflow would use what it has open.
    with sqlite3.connect(store.folder / "mlflow.db") as database:
        names = [row[0] for row in database.execute("SELECT name FROM runs")]
    assert names == ["baseline/asinh/seed1"]
    assert len(pd.read_csv(store.manifest)) == 1
