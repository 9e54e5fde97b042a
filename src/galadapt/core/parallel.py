"""Work shared among processes: results come in order."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from galadapt.core.errors import RunError

Task = TypeVar("Task")
Result = TypeVar("Result")

#: What forked processes work on: they inherit it, so that it need not be picklable.
_WORK: list[Callable[[Any], Any]] = []


class Threads(int):
    """How many threads, or processes of one thread each, a job may use."""

    @classmethod
    def from_environment(cls) -> Threads:
        """Read what the scheduler gave this job; 1 where it sets nothing."""
        return cls(os.environ.get("OMP_NUM_THREADS", "1"))


def _call(task: Any) -> Any:
    return _WORK[-1](task)


def mapped(
    work: Callable[[Task], Result], tasks: Sequence[Task], processes: int
) -> Iterator[Result]:
    """Map in order, never more than two results per process ahead of the reader.

    Tasks and results must be picklable; a single process is this one. A RunError if a process was
    ended from outside.
    """
    workers = min(processes, len(tasks))
    if workers <= 1:
        yield from map(work, tasks)
        return
    _WORK.append(work)
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork"))
    waiting: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(_call, task))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise RunError(
            "a process was ended from outside, as happens when memory runs out; use fewer processes"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        _WORK.remove(work)
