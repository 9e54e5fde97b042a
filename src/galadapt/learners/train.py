"""Train one learner."""

from __future__ import annotations

import contextlib
import datetime
import shutil

from galadapt.answers import registry as answers
from galadapt.core.errors import DataError
from galadapt.learners import registry, run_folder
from galadapt.learners.data import read, require_alike
from galadapt.learners.job import Job
from galadapt.stamps.format import StampSet


def train(job: Job) -> None:
    """Train, and write the run folder (`galadapt.learners.run_folder`).

    Raises:
        ConfigError: the settings do not fit what is learned, or the backend is not installed.
        DataError: a stamp set or the run to build on is missing or does not fit.
        RunError: training diverged, or this process already runs another backend.
    """
    started = datetime.datetime.now(datetime.UTC)
    with contextlib.ExitStack() as opened:
        sets = {domain: opened.enter_context(StampSet(path)) for domain, path in job.stamps.items()}
        first, *others = sets.values()
        for other in others:
            require_alike(other, first.side, first.metadata.get("channels"), f"{first.paths[0]}")
        answer = answers.of_method(job.method, job.quantities, first)
        kind = registry.load(job.method.learner.kind)
        kind.check(job, first.side, first.channels)
        data = read(sets, answer, job.method)
        metadata = first.metadata
    start = job.built_on if job.method.starts_from else None
    where, remedy = job.label, ""
    if start is not None:
        where, remedy = str(job.start), "; start from a run of the same variant"
    # Fitted to simulated labels where there are any: they cover the whole range, and no survey
    # label can leak through the fit.
    labels = data.training[next(iter(sets))].labels
    try:
        answer = answer.fitted(labels, start and start["answer"])
    except DataError as error:
        raise DataError(f"{where}: {error}{remedy}") from None
    learner = kind.fit(job, data, answer)
    run_folder.write(job, learner, answer, metadata, started)
    shutil.rmtree(job.checkpoint, ignore_errors=True)
