"""The command: expected errors are one line and an exit code, and leave nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import galadapt
from galadapt.cli import main, workflow
from galadapt.cli.downloads import DEFAULTS
from galadapt.config.machine import Downloads
from galadapt.config.training import Compute
from galadapt.core.errors import ConfigError
from galadapt.pipeline import jobs
from galadapt.tasks.reading import load


@pytest.fixture(scope="module")
def demo(repository: Path):
    return load(repository / "config" / "config.yaml")


def test_check_accepts_the_default(repository, capsys):
    assert main(["check", str(repository / "config" / "config.yaml")]) == 0
    assert "27 training runs" in capsys.readouterr().out


def test_check_refuses_a_bad_file(tmp_path, capsys):
    path = tmp_path / "bad.yaml"
    path.write_text("seedz: 1\n")
    assert main(["check", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(path) in error


OUTPUTS = ["--output", "selected", "a", "--output", "cuts", "b"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--settings", "{not json"], "--settings: not valid JSON"),
        (["--settings", "{}", "--input", "catalogue", "a", "b", *OUTPUTS], "give exactly one path"),
        (["--settings", "{}", "--input", "catalog", "a"], "takes --input catalogue, not catalog"),
    ],
)
def test_stage_refuses_bad_arguments(demo, arguments, message, capsys, tmp_path):
    job = json.dumps(jobs.settings(demo, "select"))
    filled = [job if text == "{}" else text for text in arguments]
    assert main(["stage", "galaxies.select", *filled]) == 2
    assert message in capsys.readouterr().err


def test_a_broken_catalogue_leaves_no_output(demo, tmp_path, capsys):
    catalog = tmp_path / "catalogue.parquet"
    catalog.write_bytes(b"\x00\x01 not a catalogue")
    job = json.dumps(jobs.settings(demo, "select"))
    outputs = {"selected": "out/selected.parquet", "cuts": "out/cuts.csv"}
    command = ["stage", "galaxies.select", "--settings", job, "--input", "catalogue", str(catalog)]
    for name, path in outputs.items():
        command += ["--output", name, str(tmp_path / path)]
    code = main(command)
    error = capsys.readouterr().err
    assert code == 3
    assert error.startswith(f"galadapt: {catalog}")
    assert error.count("\n") == 1
    assert list(tmp_path.glob("out/*")) == []


def test_every_stage_knows_its_modules():
    for name in jobs.names():
        named = jobs.modules(name)
        assert named, name
        configuration = {module for module in named if module.startswith("galadapt.config")}
        assert configuration <= {"galadapt.config.base"}, name
        assert "galadapt.cli" not in named
    assert "galadapt.simulation.renderers" in jobs.modules("galaxies.simulate")
    assert not any("figures" in module for module in jobs.modules("evaluate"))
    assert not any(".training" in module for module in jobs.modules("evaluate"))


def test_trainings_compute_where_their_scheduler_says(monkeypatch):
    for name, value in {
        "KERAS_BACKEND": "jax",
        "OMP_NUM_THREADS": "3",
        "GALADAPT_GPUS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    compute = Compute.from_environment()
    assert compute == Compute(backend="jax", threads_per_training=3, gpus_per_training=1)


def test_a_job_computes_as_configured_but_for_what_its_scheduler_gives(monkeypatch):
    configured = Compute(
        backend="jax", threads_per_training=4, gpus_per_training=2, stamps_on_device=False
    )
    monkeypatch.setenv("GALADAPT_COMPUTE", configured.model_dump_json())
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("GALADAPT_GPUS", "1")
    given = {"threads_per_training": 3, "gpus_per_training": 1}
    assert Compute.from_environment() == configured.model_copy(update=given)
    monkeypatch.setenv("GALADAPT_COMPUTE", '{"gpus": 1}')
    with pytest.raises(ConfigError, match="GALADAPT_COMPUTE: "):
        Compute.from_environment()


def test_a_reader_that_has_seen_enough_is_no_error():
    # `true` is gone before Python has started.
    command = f"{sys.executable} -m galadapt modules | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""


#: What takes longer to import than the command line may take to start.
HEAVY = {"numpy", "pandas", "pyarrow", "astropy", "scipy", "matplotlib", "h5py", "requests"}
HEAVY |= {"keras", "tensorflow", "jax", "torch", "galsim", "sklearn", "dvc", "mlflow"}

COUNT = """
import contextlib, sys
from galadapt.cli import main
from galadapt.cli.downloads import DEFAULTS
with contextlib.suppress(SystemExit):
    main(sys.argv[1:])
print(" ".join(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def imported(*arguments):
    command = [sys.executable, "-c", COUNT, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout, set(done.stderr.split())


def test_the_command_line_imports_nothing_heavy_before_it_needs_it(repository):
    for verb in ([], ["predict"], ["simulate"], ["models", "fetch"], ["download"], ["stage"]):
        out, modules = imported(*verb, "--help")
        assert out.startswith(f"usage: {' '.join(['galadapt', *verb])} ")
        assert modules & (HEAVY | {"pydantic", "yaml"}) == set(), verb
    out, modules = imported("check", str(repository / "config" / "config.yaml"))
    assert "27 training runs" in out
    assert modules & HEAVY == set()


def test_download_defaults_are_those_of_the_configuration():
    assert Downloads(**DEFAULTS) == Downloads()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError("Unable to allocate 2.3 GiB for an array"), "memory (Unable to allocate 2.3"),
        (MemoryError(), "too little memory (no more can be allocated); "),
        (ImportError("x.so: failed to map segment from shared object"), "too little memory (x.so"),
        (
            ImportError("libhdf5.so.310: cannot open shared object file"),
            "cannot be loaded (libhdf5",
        ),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "too little memory ("),
        (OSError(errno.EMFILE, "Too many open files", "a.h5"), "a.h5: Too many open files; allow"),
        (OSError("Not enough space on disk: requested 8, available 0."), "No space left on device"),
    ],
)
def test_limits_of_the_machine_are_one_sentence(error, message, capsys, monkeypatch):
    def act(arguments):
        raise error

    monkeypatch.setattr(workflow, "_show", act)
    assert main(["show"]) == 4
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert message in said


def test_a_job_with_too_little_memory_says_what_it_needs(tmp_path, capsys, monkeypatch):
    def act(arguments):
        raise MemoryError

    (tmp_path / "stamps.h5").write_bytes(b"0" * 2**20)
    monkeypatch.setattr(workflow, "_stage", act)
    given = ["--input", "survey", str(tmp_path / "stamps.h5")]
    assert main(["stage", "variant", "--settings", "{}", *given]) == 4
    assert "twice the 0.0 GiB of its inputs: give the job more memory" in capsys.readouterr().err


def test_a_notebooks_way_to_draw_is_not_used():
    """Matplotlib cannot even be imported where the notebook's package is missing."""
    script = "from galadapt.cli import main; main(['modules', 'train']); import matplotlib"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "MPLBACKEND": "module://nosuch_inline.backend"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_a_model_card_prints_digits_that_mean_something(capsys):
    assert main(["models", "show", str(Path(galadapt.__file__).parent / "released")]) == 0
    printed = capsys.readouterr().out
    table = printed[printed.index("galaxies of") :]
    assert "single       effective radius" in table
    assert not re.findall(r"\d\.\d{4,}", table)
