"""The error policy: three kinds of error, each a sentence saying what, where and how to fix it.

Anything derived from `GaladaptError` is expected: the command line prints its message on one line
and exits with the class's ``exit_code``. Anything else is a bug and keeps its traceback.
"""

import errno

#: Errors of the machine, not of galadapt: no room, no permission.
OF_THE_MACHINE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
)


class GaladaptError(Exception):
    """Base of every error galadapt raises on purpose."""

    exit_code = 1


class ConfigError(GaladaptError):
    """The configuration is wrong or impossible: nothing has been computed."""

    exit_code = 2


class DataError(GaladaptError):
    """An input file or array is broken, missing, or not what its name promises."""

    exit_code = 3


class RunError(GaladaptError):
    """The computation itself failed (diverged training, no object left, no disk)."""

    exit_code = 4
