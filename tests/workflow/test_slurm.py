"""The workflow on a Slurm cluster of one node, which is killed in the middle: the same bytes."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import dag
import pytest
from dag import Project, new_project
from test_determinism import SMALL, STAMPS, numbers

#: Where Slurm's commands look: the executor removes SLURM_CONF from the environment of its jobs.
USED = Path("/etc/slurm/slurm.conf")

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
PATHS = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])

POSSIBLE = (
    os.geteuid() == 0
    and not USED.exists()
    and all(shutil.which(name, path=PATHS) for name in NEEDED)
)

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.slurm,
    pytest.mark.skipif(
        not POSSIBLE,
        reason="needs root, no other cluster, and munge slurmctld slurmd slurm-client of Debian",
    ),
]

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
ReturnToService=2
SlurmdParameters=config_overrides
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdTimeout=15
MinJobAge=600
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName={host} CPUs=2 RealMemory=60000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


class Cluster:
    """munged, slurmctld and slurmd of one machine, with all their files in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("munge", "state", "spool"):
            (folder / name).mkdir(parents=True, mode=0o755)
        key = folder / "munge" / "key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        conf = folder / "slurm.conf"
        host = socket.gethostname().partition(".")[0]
        conf.write_text(
            CONFIGURATION.format(folder=folder, host=host, controller=free_port(), node=free_port())
        )
        USED.parent.mkdir(exist_ok=True)
        USED.symlink_to(conf)
        munge = [f"--{name}-file={folder}/munge/{name}" for name in ("key", "pid", "log", "seed")]
        self.start("munged", "--foreground", "--force", *munge, f"--socket={folder}/munge/socket")
        wait(lambda: (folder / "munge/socket").exists(), "munged")
        self.start("slurmctld", "-D")
        self.start("slurmd", "-D")
        wait(self.idle, "the node")

    def start(self, name: str, *options: str) -> None:
        program = shutil.which(name, path=PATHS)
        assert program
        with (self.folder / f"{name}.out").open("ab") as out:
            self.processes[name] = subprocess.Popen([program, *options], stdout=out, stderr=out)

    def idle(self) -> bool:
        told = subprocess.run(
            ["sinfo", "--noheader", "--format=%T"],
            capture_output=True,
            text=True,
        )
        return told.stdout.strip() == "idle"

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def stop(self) -> None:
        USED.unlink()
        for process in reversed(self.processes.values()):
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait(until, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, f"{what} is not up after {seconds:.0f} s"
        time.sleep(0.2)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    found = Cluster(tmp_path / "slurm")
    yield found
    found.stop()


def test_a_node_that_dies_changes_no_byte(
    finished: Project, repository: Path, tmp_path: Path, cluster: Cluster
) -> None:
    small = {**SMALL, "methods": ["baseline"], "predictor": {"method": "baseline"}}
    project = new_project(repository, tmp_path / "project", **small)
    command = ["snakemake", "--workflow-profile", "profiles/slurm", "models"]
    log = tmp_path / "snakemake.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=project.folder, env=dag.ENVIRONMENT, stdout=out, stderr=out
        )
        try:
            stamps = project.folder / "results/data/variants/asinh"
            wait(lambda: any(stamps.glob("*.h5")) or process.poll() is not None, "a variant", 900)
            cluster.kill("slurmd")
            time.sleep(5)
            cluster.start("slurmd", "-D")
            process.wait(timeout=1500)
        finally:
            process.kill()
    text = log.read_text()
    assert process.returncode == 0, text[-6000:]
    # No accounts are kept here: it was found out.
    assert "Slurm keeps no accounts here" in text
    here, there = project.bytes_of(STAMPS), finished.bytes_of(STAMPS)
    assert len(here) >= 5
    assert {name: here[name] == there[name] for name in here} == dict.fromkeys(here, True)
    there_runs = numbers(finished)
    assert numbers(project) == {name: there_runs[name] for name in numbers(project)}
    assert project.planned("models") == {}
