"""A folder for caches where the user has no home to write to, as in many containers.

Libraries (matplotlib, astropy, numba) write caches below the home folder, some fail without one,
and some fail for a user without a name.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import tempfile
from pathlib import Path

#: Folders of caches and settings by the variables that name them, below `folder` of `settle`.
_CACHES = {
    "XDG_CACHE_HOME": "cache",
    "MPLCONFIGDIR": "matplotlib",
    "ASTROPY_CACHE_DIR": "astropy/cache",
    "ASTROPY_CONFIG_DIR": "astropy/config",
    "NUMBA_CACHE_DIR": "numba",
}


def settle(folder: Path | None = None) -> None:
    """Give this process and its children folders for caches, and a name, where they have none.

    Args:
        folder: Where caches go; None: below the system's folder of temporary files.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = "galadapt"
    home = os.environ.get("HOME") or ""
    if home not in ("", "/") and os.access(home, os.W_OK | os.X_OK):
        return
    folder = folder or Path(tempfile.gettempdir()) / f"galadapt-{os.getuid()}"
    # Without any room the libraries complain themselves, each in its way.
    with contextlib.suppress(OSError):
        for variable, name in _CACHES.items():
            if variable not in os.environ:
                (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
                os.environ[variable] = str(folder / name)
    # A home that can be read has the user's settings, such as passwords of databases: it stays.
    if home in ("", "/") or not Path(home).is_dir():
        os.environ["HOME"] = str(folder)
