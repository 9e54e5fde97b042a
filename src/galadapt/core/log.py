"""Progress as lines, not bars: several jobs share one terminal, and every line is also logged."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def say(message: str) -> None:
    """Print one line to standard error at once."""
    print(message, file=sys.stderr, flush=True)


def track(
    items: Iterable[Item], total: int, label: str, unit: str, every: float = 5.0
) -> Iterator[Item]:
    """Yield `items`, saying at most every `every` seconds how many `unit` are done and how fast."""
    start = last = time.monotonic()
    done = 0
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= every:
            last = now
            rate = done / (now - start)
            left = (total - done) / rate
            say(f"{label}: {done}/{total} {unit}, {rate:.1f}/s, {left:.0f} s left")
    seconds = max(time.monotonic() - start, 1e-9)
    say(f"{label}: {done}/{total} {unit} in {seconds:.1f} s ({done / seconds:.1f}/s)")
