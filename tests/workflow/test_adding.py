"""Adding a task, a learner and a measured quantity, as docs/adding.md tells it.

Each is written into a copy of the repository and runs through the DAG: nothing but the files named
there is touched.
"""

from __future__ import annotations

import json

import pandas as pd
import pytest
from dag import Project, new_project

pytestmark = pytest.mark.workflow

TASK = '''"""The task blobs: how bright and how wide is a blob?"""

from galadapt.core.quantity import Quantity
from galadapt.tasks.blobs.settings import Blobs
from galadapt.tasks.task import Task

TASK = Task(
    package=__package__,
    settings=Blobs,
    data_figures=(),
    quantities=(
        Quantity("peak", "peak", "p", error="relative", bounds=(0, 10), outlier=0.5),
        Quantity("width", "width", "w", "pix", bounds=(0, 16), outlier=1.0),
    ),
)
'''

SETTINGS = '''"""The experiment of the task blobs."""

from typing import Literal

from pydantic import Field, model_validator

from galadapt.answers.numbers.settings import Evaluation
from galadapt.config.base import Name
from galadapt.config.training import Method
from galadapt.tasks.experiment import Experiment


class Blobs(Experiment):
    """Task blobs: round blobs on white noise."""

    task: Literal["blobs"] = Field("blobs", description="What is measured.")
    count: int = Field(90, ge=30, description="Stamps of each domain.")
    method_settings: dict[Name, Method] = Field(description="Named ways to train.")
    evaluation: Evaluation = Field(Evaluation(), description="Metrics.")

    @model_validator(mode="after")
    def _consistent(self) -> "Blobs":
        self.check_names(self.method_settings)
        self.check_starts(self.method_settings)
        return self
'''

STAGES = '''"""Stages of the task blobs."""

from typing import Annotated

from galadapt.config.base import DOMAINS
from galadapt.core.stage import Output, Provenance, Wildcard, stage


@stage
def blob_stamps(
    domain: Annotated[str, Wildcard],
    count: int,
    seed: int,
    stamps: Output,
    provenance: Provenance,
) -> None:
    """Blobs of one domain."""
    import numpy as np
    import pandas as pd

    from galadapt.core.random import generator
    from galadapt.stamps.format import write_stamps

    rng = generator(seed, 1 + DOMAINS.index(domain))
    peak, width = rng.uniform(1, 3, count), rng.uniform(2, 5, count)
    y, x = np.mgrid[:16, :16] - 7.5
    images = peak[:, None, None] * np.exp(-(x**2 + y**2) / (2 * width[:, None, None] ** 2))
    images += rng.normal(0, 0.1, images.shape)
    splits = np.resize(["train", "train", "train", "validation", "test"], count)
    table = pd.DataFrame({"id": range(count), "split": splits, "peak": peak, "width": width})
    metadata = {"pixel_scale": 1.0, "zero_point": None, "band": "none", "domain": domain}
    write_stamps(
        stamps, [images.astype("float32")], table, {**metadata, "provenance": provenance}
    )
'''

WORDS = '''"""The words of the report on blobs."""

from galadapt.report.words import Words

WORDS = Words(
    title="How wide is a blob?",
    lead="Blobs measured by networks.",
    facts=lambda configuration: [("Blobs", str(configuration["count"]))],
    caveats=lambda configuration, tests: ["Blobs are no galaxies."],
    work="",
    published=None,
)
'''

RULES = """rule blob_stamps:
    output:
        stamps=f"{DATA}/{{domain}}/stamps.h5",
    log:
        f"{LOGS}/blob_stamps/{{domain}}.log",
    conda:
        ENVIRONMENT
    params:
        settings=job_settings("blob_stamps"),
    shell:
        command("blob_stamps")


DATA_TABLES = []
DATA_FILES = []
"""

EXPERIMENT = """
task: blobs
results: results/blobs
seeds: [1]
variants: [plain]
methods: [network, middle]
variant_chains:
  plain: [{step: divide, by: 1.0}]
method_settings:
  network: {epochs: 2}
  middle: {learner: {kind: middle}}
evaluation: {bootstrap: 50}
"""

LEARNER = '''"""A learner that predicts the mean of what it has seen."""

import hashlib

import numpy as np

from galadapt.core.files import read_json, write_json


class MiddleLearner:
    """Predicts the mean target; see `galadapt.learners.base.Learner`."""

    def __init__(self, side, mean):
        self.side, self.outputs, self.mean = side, len(mean), mean
        self.history = [{"epoch": 1, "loss": 1.0, "seconds": 0.0}]
        self.record = {"best_epoch": 1, "epochs_run": 1}

    @classmethod
    def fit(cls, job, data, answer):
        labels = np.concatenate([part.labels for part in data.training.values()])
        return cls(data.side, answer.transform(labels).mean(axis=0).tolist())

    @classmethod
    def load(cls, folder, compute):
        return cls(**read_json(folder / "mean.json"))

    def save(self, folder):
        write_json(folder / "mean.json", {"side": self.side, "mean": self.mean})

    def predict(self, images):
        return np.tile(np.array(self.mean, np.float32), (len(images), 1))

    def features(self, images):
        return images.reshape(len(images), -1)[:, :8]

    @property
    def digest(self):
        return hashlib.sha256(str(self.mean).encode()).hexdigest()[:16]
'''

LEARNER_SETTINGS = '''class Middle(LearnerSettings):
    """The mean of the labels."""

    kind: Literal["middle"] = "middle"


#: The kinds of learner'''


def edit(project: Project, path: str, old: str, new: str) -> None:
    """Replace one piece of text in a file; it must be there."""
    file = project.folder / path
    text = file.read_text()
    assert old in text, f"{path} no longer contains {old!r}"
    file.write_text(text.replace(old, new, 1))


def add_task_and_learner(project: Project) -> None:
    package = project.folder / "src/galadapt/tasks/blobs"
    package.mkdir()
    for name, text in {
        "__init__": '"""Task blobs."""\n',
        "task": TASK,
        "settings": SETTINGS,
        "stages": STAGES,
        "words": WORDS,
    }.items():
        (package / f"{name}.py").write_text(text)
    (project.folder / "workflow/rules/data_blobs.smk").write_text(RULES)
    (project.folder / "config/blobs.yaml").write_text(EXPERIMENT)
    edit(
        project,
        "src/galadapt/tasks/registry.py",
        '    "screening": "galadapt.tasks.screening",\n',
        '    "screening": "galadapt.tasks.screening",\n    "blobs": "galadapt.tasks.blobs",\n',
    )
    (project.folder / "src/galadapt/learners/middle.py").write_text(LEARNER)
    edit(
        project,
        "src/galadapt/learners/registry.py",
        '    "sklearn": (',
        '    "middle": ("galadapt.learners.middle", "MiddleLearner"),\n    "sklearn": (',
    )
    training = "src/galadapt/config/training.py"
    edit(project, training, "#: The kinds of learner", LEARNER_SETTINGS)
    edit(project, training, "Annotated[Keras | Sklearn,", "Annotated[Keras | Sklearn | Middle,")


def test_a_new_task_and_a_new_learner_run_and_rerun_alone(repository, tmp_path) -> None:
    project = new_project(repository, tmp_path / "project")
    add_task_and_learner(project)
    project.snakemake("blobs")
    results = project.folder / "results/blobs"
    comparison = pd.read_csv(results / "tables/comparison.csv")
    r2 = comparison.query("metric == 'r2' and domain == 'survey'")
    assert set(r2["item"]) == {"peak", "width"}
    # The mean of the training explains nothing.
    assert (r2.query("method == 'middle'")["mean"] < 0.01).all()
    page = (results / "report.html").read_text()
    assert "How wide is a blob?" in page
    assert "Blobs are no galaxies." in page
    run = json.loads((results / "runs/blobs/plain/middle/seed1/run.json").read_text())
    assert [quantity["name"] for quantity in run["answer"]["quantities"]] == ["peak", "width"]

    def trained() -> dict[str, int]:
        text = project.run("snakemake", "-n", "blobs")
        return {m: text.count(f"blobs/plain/{m}/seed1/run.json\n") for m in ("network", "middle")}

    assert project.planned("blobs") == {}
    # An edited learner trains its own runs again, and nothing of another learner.
    edit(project, "src/galadapt/learners/middle.py", '"loss": 1.0', '"loss": 2.0')
    assert project.planned("blobs")["blobs_train"] == 1
    assert trained()["network"] < trained()["middle"]


def test_a_new_quantity_is_one_line(repository, tmp_path) -> None:
    """The position angle is a column of all stamp sets; as a quantity of the task it is learned."""
    project = new_project(
        repository,
        tmp_path / "project",
        variants=["asinh"],
        methods=["baseline"],
        predictor={"variant": "asinh", "method": "baseline"},
    )
    edit(
        project,
        "src/galadapt/tasks/galaxies/task.py",
        "quantities=SERSIC,",
        'quantities=(*SERSIC, Quantity("position_angle", "position angle", "PA", "deg")),',
    )
    edit(
        project,
        "src/galadapt/tasks/galaxies/task.py",
        "from galadapt.core.quantity import SERSIC",
        "from galadapt.core.quantity import SERSIC, Quantity",
    )
    project.snakemake("results/tables/comparison.csv", "results/figures/r2_by_method.png")
    comparison = pd.read_csv(project.folder / "results/tables/comparison.csv")
    assert "position_angle" in set(comparison["item"])
    assert "R² position angle" in (project.folder / "results/tables/comparison.md").read_text()
