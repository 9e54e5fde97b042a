"""Stages: their signature declares what a job reads, what decides about it, and its command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from galadapt.core.errors import ConfigError, DataError
from galadapt.core.provenance import digest
from galadapt.core.stage import (
    Codes,
    Input,
    Inputs,
    Key,
    Output,
    Outputs,
    Provenance,
    Settings,
    Stage,
    Whole,
    Wildcard,
    stage,
)


class Noise(BaseModel):
    rms: float


class Machine(int):
    @classmethod
    def from_environment(cls) -> Machine:
        return cls(7)


CONFIG: dict[str, Any] = {
    "noise": {"rms": 1.5, "description": "words"},
    "simulation": {"noise": {"rms": 2.5, "description": "words"}, "n": 5},
    "off": None,
    "methods": {"fast": {"rate": 1e-3, "description": "words"}, "slow": {"rate": 1e-4}},
    "seed": 3,
    "results": "results",
}

SEEN: dict[str, Any] = {}


@stage
def everything(
    noise: Noise,
    deep: Annotated[Noise, Key("simulation.noise")],
    missing: Annotated[int | None, Key("off.below")],
    method: Annotated[dict[str, Any], Key("methods.{name}")],
    name: Annotated[str, Wildcard],
    number: Annotated[int, Wildcard],
    seed: int,
    one: Input,
    perhaps: Input | None,
    many: Inputs,
    out: Output,
    outs: Outputs,
    machine: Machine,
    provenance: Provenance,
) -> None:
    SEEN.update(locals())


@stage
def printing(whole: Annotated[dict[str, Any], Whole(without=("results",))], codes: Codes) -> None:
    SEEN.update(locals())


@stage(loads=lambda config, wildcards: [f"galadapt.{wildcards['name']}"])
def loading(name: Annotated[str, Wildcard]) -> None:
    pass


def settings(of: Stage, loaded: tuple[str, ...] = (), **wildcards: Any) -> Settings:
    return of.settings(CONFIG, wildcards, loaded, [everything, loading])


PATHS = (
    {"one": [Path("a")], "perhaps": [], "many": [Path("b"), Path("c")]},
    {
        "out": [Path("d")],
        "outs": [],
    },
)


def test_every_parameter_gets_its_own() -> None:
    job = settings(everything, name="fast", number="4")
    everything.run(job, *PATHS)
    assert SEEN["noise"] == Noise(rms=1.5)
    assert SEEN["deep"] == Noise(rms=2.5)
    assert SEEN["missing"] is None
    assert SEEN["method"] == {"rate": 1e-3}
    assert (SEEN["name"], SEEN["number"], SEEN["seed"], SEEN["machine"]) == ("fast", 4, 3, 7)
    assert (SEEN["one"], SEEN["perhaps"], SEEN["many"]) == (Path("a"), None, PATHS[0]["many"])
    assert (SEEN["out"], SEEN["outs"]) == (Path("d"), [])
    assert SEEN["provenance"] == {
        "settings": job["config"],
        "code": everything.code(),
        "digest": digest(job),
    }
    assert everything.files("input") == ["one", "perhaps", "many"]
    assert everything.takes(Machine)
    assert not printing.takes(Machine)


def test_settings_hold_what_is_read_and_nothing_else() -> None:
    job = settings(everything, name="fast", number="4")
    assert job == {
        "config": {
            "noise": {"rms": 1.5},
            "simulation": {"noise": {"rms": 2.5}},
            "off": None,
            "methods": {"fast": {"rate": 1e-3}},
            "seed": 3,
        },
        "code": everything.code(),
        "wildcards": {"name": "fast", "number": "4"},
    }


def test_descriptions_of_inner_sections_do_not_count() -> None:
    @stage
    def reading(methods: dict[str, Any]) -> None:
        pass

    methods = {**CONFIG["methods"], "description": {"rate": 1.0, "steps": [{"description": "a"}]}}
    assert reading.settings({"methods": methods}, {}, (), [])["config"]["methods"] == {
        "fast": {"rate": 1e-3},
        "slow": {"rate": 1e-4},
        "description": {"rate": 1.0, "steps": [{}]},
    }


def test_a_stage_may_read_all_and_print_the_codes() -> None:
    job = settings(printing)
    assert job["config"] == {key: CONFIG[key] for key in CONFIG if key != "results"}
    printing.run(job, {}, {})
    assert SEEN["whole"] == job["config"]
    assert SEEN["codes"] == {"everything": everything.code(), "loading": loading.code()}


def test_what_a_registry_loads_counts_in_the_jobs_that_load_it() -> None:
    assert loading.loads is not None
    wildcards = {"name": "core.files"}
    loaded = tuple(loading.loads(CONFIG, wildcards))
    assert settings(loading, loaded, **wildcards)["code"] != loading.code()
    assert settings(loading, **wildcards)["code"] == loading.code()
    assert settings(loading, loaded)["code"] != settings(loading, ("galadapt.core.log",))["code"]


def test_external_files_count_by_their_content(tmp_path: Path) -> None:
    @stage
    def reading(psf: dict[str, Any]) -> None:
        pass

    config = {"psf": {"path": str(tmp_path / "psf.fits")}}
    with pytest.raises(DataError, match=r"psf\.path: nothing at"):
        reading.settings(config, {}, (), [])
    (tmp_path / "psf.fits").write_text("a")
    before = reading.settings(config, {}, (), [])
    (tmp_path / "psf.fits").write_text("b")
    assert reading.settings(config, {}, (), [])["external"] != before["external"]


JOB = settings(everything, name="fast", number="4")


@pytest.mark.parametrize(
    ("job", "inputs", "message"),
    [
        (JOB, {"won": [Path("a")]}, "takes --input many, one, perhaps, not won; give exactly"),
        (JOB, {}, "takes --input many, one, perhaps, not nothing; give exactly these names"),
        (JOB, {**PATHS[0], "one": []}, "--input one: give exactly one path"),
        (JOB, {**PATHS[0], "perhaps": PATHS[0]["many"]}, "--input perhaps: give exactly one path"),
        ({"config": {}}, PATHS[0], "--settings: lack 'noise'; plan the job again"),
        (
            {**JOB, "wildcards": {"name": "fast", "number": "x"}},
            PATHS[0],
            "--settings: number: Input should be a valid integer",
        ),
    ],
)
def test_a_job_that_does_not_fit_is_one_sentence(job, inputs, message) -> None:
    with pytest.raises(ConfigError) as caught:
        everything.run(job, inputs, PATHS[1])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
