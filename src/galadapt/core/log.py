"""Messages through the standard `logging`, on the logger ``galadapt``.

Used as a library, galadapt prints nothing; the command line calls `to_stderr`. Progress is printed
as lines, not bars: several jobs share one terminal, and every line is also logged.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from galadapt.core.interface import spelled

Item = TypeVar("Item")

log = logging.getLogger("galadapt")
log.addHandler(logging.NullHandler())


def _spell(record: logging.LogRecord) -> bool:
    record.msg = spelled(str(record.msg))
    return True


log.addFilter(_spell)


class _Stderr(logging.Handler):
    """One plain line per message on what is standard error at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


def to_stderr() -> None:
    """Print every message from now on to standard error."""
    log.setLevel(logging.INFO)
    if not any(isinstance(handler, _Stderr) for handler in log.handlers):
        log.addHandler(_Stderr())


def progress(
    items: Iterable[Item], total: int, label: str, unit: str, every: float = 5.0
) -> Iterator[Item]:
    """Yield `items`; log at most every `every` seconds how many `unit` are done and how fast."""
    start = last = time.monotonic()
    done = 0
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= every:
            last = now
            rate = done / (now - start)
            left = (total - done) / rate
            log.info(f"{label}: {done}/{total} {unit}, {rate:.1f}/s, {left:.0f} s left")
    seconds = max(time.monotonic() - start, 1e-9)
    log.info(f"{label}: {done}/{total} {unit} in {seconds:.1f} s ({done / seconds:.1f}/s)")
