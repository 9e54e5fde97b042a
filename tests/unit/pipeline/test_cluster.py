"""What a Slurm cluster has is found out from its own commands."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

#: What the commands of clusters print.
KEPT = "AccountingStorageHost = db\nAccountingStorageType = accounting_storage/slurmdbd\n"
NONE = "AccountingStorageType   = accounting_storage/none\n"
EMPTY = "AccountingStorageType   = (null)\n"


@pytest.fixture
def cluster(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(repository / "workflow"))
    monkeypatch.setenv("PATH", str(tmp_path))
    module = __import__("cluster")
    for one in (module.has_accounting, module.has_gpus):
        one.cache_clear()
    yield module
    for one in (module.has_accounting, module.has_gpus):
        one.cache_clear()


def command(folder: Path, name: str, text: str, code: int = 0) -> None:
    path = folder / name
    path.write_text(
        f"#!/bin/sh\nwhile read line; do echo \"$line\"; done <<'X'\n{text}X\nexit {code}\n"
    )
    path.chmod(0o755)


def workflow(**settings: object) -> SimpleNamespace:
    return SimpleNamespace(executor_settings=SimpleNamespace(**settings))


@pytest.mark.parametrize(("text", "kept"), [(KEPT, True), (NONE, False), (EMPTY, False)])
def test_jobs_have_accounts_where_accounts_are_kept(cluster, tmp_path, text, kept) -> None:
    command(tmp_path, "scontrol", text)
    found = workflow(no_account=False, status_command="sacct")
    cluster.choose(found)
    assert found.executor_settings.no_account is not kept
    assert found.executor_settings.status_command == ("sacct" if kept else "squeue")


def test_a_cluster_that_does_not_answer_is_taken_as_the_profile_says(cluster, tmp_path) -> None:
    command(tmp_path, "scontrol", NONE, code=1)
    found = workflow(no_account=False, status_command="sacct")
    cluster.choose(found)
    assert found.executor_settings.no_account is False


def test_other_executors_are_left_alone(cluster) -> None:
    for other in (SimpleNamespace(executor_settings=None), workflow(queue="a")):
        before = repr(other)
        cluster.choose(other)
        assert repr(other) == before
        assert cluster.gpus(other, 2)(None) == 2


@pytest.mark.parametrize(("nodes", "granted"), [("gpu:a100:4\n(null)\n", 1), ("(null)\n", 0)])
def test_a_gpu_is_requested_where_there_are_some(cluster, tmp_path, nodes, granted) -> None:
    command(tmp_path, "sinfo", nodes)
    assert cluster.gpus(workflow(no_account=True), 1)(None) == granted
    assert cluster.gpus(workflow(no_account=True), 0)(None) == 0
