"""Functions of the user's own, named in a configuration by file or module.

``networks.py:tower`` is the function `tower` of a file, relative to the current folder, which is
the folder of the run; ``package.module:tower`` that of an installed module. Modules below the
folder of the run, or of the same package, may be imported, and count as the file itself does.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from galadapt.core.errors import ConfigError, GaladaptError, not_of_the_file

#: What names a function of the user's own.
PATTERN = r"^[\w./~$-]+:[A-Za-z_]\w*$"

#: Keys of the configuration that may name one, and what the function is called with.
OWN_FUNCTIONS = {
    "architecture": ("stamps", "network"),
    "function": ("features", "simulated", "survey", "settings"),
}


def is_import_path(text: str) -> bool:
    """Tell whether a setting names a function of the user's own, and no registered one."""
    return re.fullmatch(PATTERN, text) is not None


def source(path: str, arguments: Sequence[str] | None = None) -> Path:
    """Find the file of an import path, without running it.

    Args:
        path: The import path.
        arguments: Names of what the function is called with, in order; None: do not check.

    Raises:
        ConfigError: there is no such file or module, it is no Python, or lacks the function; the
            function takes other arguments, or never returns anything.
    """
    where, _, name = path.rpartition(":")
    file = Path(where) if where.endswith(".py") else _module_file(where)
    if file is None or not file.is_file():
        kind = "file" if where.endswith(".py") else "module"
        raise ConfigError(
            f"{path}: no such {kind}; give FILE.py:FUNCTION (relative to the folder of the run) or "
            "MODULE:FUNCTION"
        )
    functions = {node.name: node for node in _tree(file).body if isinstance(node, ast.FunctionDef)}
    if name not in functions:
        known = f"it has {', '.join(functions)}" if functions else "it has none"
        raise ConfigError(f"{path}: {file} has no function '{name}'; {known}")
    if arguments is not None:
        _check_signature(functions[name], path, arguments)
    return file


def _check_signature(function: ast.FunctionDef, path: str, arguments: Sequence[str]) -> None:
    wanted = ", ".join(arguments)
    given = function.args
    most = len(given.posonlyargs) + len(given.args)
    least = most - len(given.defaults)
    fits = least <= len(arguments) and (len(arguments) <= most or given.vararg is not None)
    # A decorator may change the arguments.
    if not function.decorator_list and (not fits or None in given.kw_defaults):
        raise ConfigError(
            f"{path}: takes ({ast.unparse(given)}), but is called with ({wanted}); correct line "
            f"{function.lineno}"
        )
    if not any(_returns_a_value(statement) for statement in function.body):
        raise ConfigError(f"{path}: returns nothing; end it with a return statement")


def _returns_a_value(node: ast.AST) -> bool:
    """Tell whether a function returns a value at a node or below; inner functions do not count."""
    if isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
        return False
    if isinstance(node, ast.Return):
        empty = isinstance(node.value, ast.Constant) and node.value.value is None
        return node.value is not None and not empty
    return any(map(_returns_a_value, ast.iter_child_nodes(node)))


def digest_of(path: str) -> str:
    """Digest the code of an import path's file, and of the modules of the user's own it imports.

    Comments do not count, nor do installed packages.

    Raises:
        ConfigError: as `source`; a module lies beside the file but cannot be imported.
    """
    file = source(path)
    where = path.rpartition(":")[0]
    total = hashlib.sha256(_code(file))
    for one in _imported(file, where):
        total.update(_code(one))
    return total.hexdigest()[:16]


def _code(file: Path) -> bytes:
    return ast.dump(_tree(file), annotate_fields=False, include_attributes=False).encode()


def _imported(file: Path, where: str) -> list[Path]:
    """List the files of the user's own that a file imports, those that they import included."""
    in_package = not where.endswith(".py")
    nodes = ast.walk(_tree(file))
    if not in_package and any(isinstance(node, ast.ImportFrom) and node.level for node in nodes):
        raise ConfigError(
            f"{file}: imports relative to a package, but a file is none; name the module from "
            "the folder of the run on (from folder.module import ...)"
        )
    top, root = "", Path()
    if in_package:
        top, *inner = where.split(".")
        root = file.parents[len(inner) + (file.name == "__init__.py")]
    todo, found = [file], set[Path]()
    while todo:
        here = todo.pop()
        for base, name in _names(here, root):
            if in_package and base == root and name.partition(".")[0] != top:
                continue
            own = _files(base, name)
            if not own and not in_package and base == root:
                _refuse_beside(here, name)
            todo += [one for one in own if one != file and one not in found]
            found.update(own)
    return sorted(found - {file})


def _names(file: Path, root: Path) -> Iterator[tuple[Path, str]]:
    """Yield every module that a file may import, and the folder from which it is named."""
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import):
            yield from ((root, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level > len(file.parents):
                continue
            base = file.parents[node.level - 1] if node.level else root
            module = f"{node.module}." if node.module else ""
            yield from ((base, f"{module}{alias.name}") for alias in node.names)


def _files(base: Path, name: str) -> list[Path]:
    """List the files that importing a module runs: its own and those of its packages."""
    parts = name.split(".")
    above = [base.joinpath(*parts[:length]) for length in range(1, len(parts) + 1)]
    files = [one for path in above for one in (Path(f"{path}.py"), path / "__init__.py")]
    return [one for one in files if one.is_file()]


def _refuse_beside(file: Path, name: str) -> None:
    """Refuse to import a module by its bare name from beside a file: Python would not find it."""
    top = name.partition(".")[0]
    beside = _files(file.parent, top)
    if not beside:
        return
    spec = None if top in sys.builtin_module_names else importlib.util.find_spec(top)
    if spec is not None and spec.origin not in {str(one.resolve()) for one in beside}:
        return
    if file.is_absolute() or ".." in file.parts:
        remedy = (
            "write both into one file, put them below the folder of the run, or install them as a "
            "package and give MODULE:FUNCTION"
        )
    else:
        remedy = f"write `from {'.'.join(file.parent.parts)}.{top} import ...`"
    raise ConfigError(
        f"{file}: imports {top}, which lies beside it, but modules are imported from the folder "
        f"of the run; {remedy}"
    )


@contextlib.contextmanager
def errors_named(path: str) -> Iterator[None]:
    """Raise what a function of the user's own raises as a ConfigError with its file and line.

    Where the name is none of an import path, errors pass.
    """
    try:
        yield
    except GaladaptError:
        raise
    except Exception as error:
        if not is_import_path(path):
            raise
        file = source(path)
        not_of_the_file(file, error)
        if isinstance(error, ModuleNotFoundError):
            raise ConfigError(
                f"{path}: imports {error.name}, which is not installed; install it in this "
                "environment, or put it below the folder of the run"
            ) from error
        frames = traceback.extract_tb(error.__traceback__)
        lines = [one.lineno for one in frames if Path(one.filename).resolve() == file.resolve()]
        line = f" in line {lines[-1]}" if lines else ""
        # Keras explains first what it was doing.
        text = " ".join(str(error).rpartition("Error encountered:")[2].split())
        text = text if len(text) <= 300 else f"{text[:300]} ..."
        raise ConfigError(f"{path}: {type(error).__name__}{line}: {text}") from error


def function(path: str) -> Callable[..., Any]:
    """Import the function of an import path.

    Raises:
        ConfigError: as `digest_of`, or its file cannot be run.
    """
    file = source(path)
    where, _, name = path.rpartition(":")
    # Refuses what could not be imported, with a better sentence than Python's.
    digest_of(path)
    folder = str(Path.cwd())
    if not {"", folder} & set(sys.path):
        sys.path.insert(0, folder)
    with errors_named(path):
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
        found: Callable[..., Any] = getattr(module, name)
    return found


def _module_file(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin)


def _tree(file: Path) -> ast.Module:
    try:
        return _parsed(file.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not valid Python ({error}); correct it") from None


@lru_cache(maxsize=1024)
def _parsed(text: str) -> ast.Module:
    """Parse a file once: every job of a plan asks for the digest."""
    return ast.parse(text)
