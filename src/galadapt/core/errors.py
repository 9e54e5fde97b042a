"""The error policy: three kinds of error, each a sentence saying what, where and how to fix it.

Anything derived from `GaladaptError` is expected: the command line prints its message on one line
and exits with the class's ``exit_code``. Anything else is a bug and keeps its traceback.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from galadapt.core.interface import spelled

_ROOM = "make room or correct the permissions"

#: Errors of the machine, not of galadapt, and the remedy: no room, no permission, too many files.
OF_THE_MACHINE = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM), _ROOM
    ),
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENFILE: "close other programs: the machine has too many open files",
}

#: How libraries report an error of the machine without its number: HDF5, astropy.
_NUMBER = re.compile(r"errno = (\d+)")
_NO_ROOM = ("not enough space on disk", "no space left on device")


def of_the_machine(error: BaseException) -> str | None:
    """Return what failed and the remedy where the machine is the reason; None for other errors."""
    if not isinstance(error, OSError):
        return None
    text = str(error)
    found = _NUMBER.search(text)
    number = error.errno if error.errno is not None else int(found[1]) if found else None
    if number is None and any(phrase in text.lower() for phrase in _NO_ROOM):
        number = errno.ENOSPC
    if number is None or number not in OF_THE_MACHINE:
        return None
    return f"{os.strerror(number)}; {OF_THE_MACHINE[number]}"


#: How libraries report that there is too little memory, where they do not raise MemoryError.
_TOO_LITTLE_MEMORY = (
    "cannot allocate memory",
    "failed to map segment",
    "out of memory",
    "oom when",
)


def lacks_memory(error: BaseException) -> bool:
    """Tell whether an error means that there is too little memory."""
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or getattr(error, "errno", None) == errno.ENOMEM
        or any(phrase in text for phrase in _TOO_LITTLE_MEMORY)
    )


class GaladaptError(Exception):
    """Base of every error galadapt raises on purpose."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(spelled(message))


class ConfigError(GaladaptError):
    """The configuration is wrong or impossible: nothing has been computed."""

    exit_code = 2


class DataError(GaladaptError):
    """An input file or array is broken, missing, or not what its name promises."""

    exit_code = 3


class RunError(GaladaptError):
    """The computation itself failed (diverged training, no object left, no disk)."""

    exit_code = 4


def not_of_the_file(path: object, error: BaseException) -> None:
    """Return where an error of reading a file is about the file; raise where it is not.

    Too little memory, or too many open files, says nothing about a file: it must not be called
    broken, nor be deleted.

    Raises:
        RunError: this process may not open more files.
    """
    if lacks_memory(error):
        raise error
    text = str(error).lower()
    for number in (errno.EMFILE, errno.ENFILE):
        reason = os.strerror(number)
        if getattr(error, "errno", None) == number or reason.lower() in text:
            raise RunError(f"{path}: {reason}; {OF_THE_MACHINE[number]}, and run the command again")


@contextmanager
def reading(
    path: object,
    problem: str,
    remedy: str,
    errors: type[Exception] | tuple[type[Exception], ...] = Exception,
) -> Iterator[None]:
    """Raise these errors of reading a file as a DataError: its problem, the reason, a remedy.

    Readers of broken files fail in many ways. Errors of galadapt pass, and `not_of_the_file`.
    """
    try:
        yield
    except GaladaptError:
        raise
    except errors as error:
        not_of_the_file(path, error)
        text = getattr(error, "strerror", None) or str(error)
        reason = " ".join(text.replace(f"'{path}'", "").split())[:200].rstrip(". ")
        raise DataError(f"{path}: {problem} ({reason}); {remedy}") from None
