"""Functions of the user's own, named in a configuration by file or module.

``networks.py:tower`` is the function `tower` of a file, relative to the current folder;
``package.module:tower`` that of an installed module.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from galadapt.core.errors import ConfigError

#: What names a function of the user's own.
PATTERN = r"^[\w./~$-]+:[A-Za-z_]\w*$"


def is_import_path(text: str) -> bool:
    """Tell whether a setting names a function of the user's own, and no registered one."""
    return re.fullmatch(PATTERN, text) is not None


def source(path: str) -> Path:
    """Find the file of an import path, without running it.

    Raises:
        ConfigError: there is no such file or module, it is no Python, or lacks the function.
    """
    where, _, name = path.rpartition(":")
    file = Path(where) if where.endswith(".py") else _module_file(where)
    if file is None or not file.is_file():
        kind = "file" if where.endswith(".py") else "module"
        raise ConfigError(
            f"{path}: no such {kind}; give FILE.py:FUNCTION (relative to the folder of the run) or "
            "MODULE:FUNCTION"
        )
    functions = [node.name for node in _tree(file).body if isinstance(node, ast.FunctionDef)]
    if name not in functions:
        known = f"it has {', '.join(functions)}" if functions else "it has none"
        raise ConfigError(f"{path}: {file} has no function '{name}'; {known}")
    return file


def digest_of(path: str) -> str:
    """Digest the code of an import path's file, comments aside; what it imports does not count."""
    text = ast.dump(_tree(source(path)), annotate_fields=False, include_attributes=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def function(path: str) -> Callable[..., Any]:
    """Import the function of an import path; raises as `source`, or what its file raises."""
    file = source(path)
    where, _, name = path.rpartition(":")
    if where.endswith(".py"):
        spec = importlib.util.spec_from_file_location(f"galadapt_user_{file.stem}", file)
        if spec is None or spec.loader is None:
            raise ConfigError(f"{path}: cannot be imported; name a Python file")
        module = importlib.util.module_from_spec(spec)
        # Where dataclasses and pickles look a class's module up.
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(where)
    return getattr(module, name)


def _module_file(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin)


def _tree(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not valid Python ({error}); correct it") from None
