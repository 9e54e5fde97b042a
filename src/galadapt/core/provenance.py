"""What code and which settings made a file.

`code_digest` hashes the abstract syntax trees of a stage and of every galadapt module it imports,
with the data files beside them that they name, so that editing a comment, a docstring, the
description of a setting or the formatting changes nothing, and editing the renderer changes exactly
the stages that render. Modules in `NOT_HASHED`, settings and registries are left out: they only
declare or report, and what they change is already in the settings or in no output.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from galadapt.core.errors import GaladaptError
from galadapt.core.files import Kept, canonical_json

PACKAGE = "galadapt"
ROOT = Path(__file__).parents[1]

#: Modules whose edits never change an output: configuration *values* are in each job's settings.
NOT_HASHED = re.compile(
    r"galadapt"
    r"|galadapt\.answers\.\w+\.settings"
    r"|galadapt\.cli(\..*)?"
    r"|galadapt\.config(\.(?!base$).*)?"  # names, units and limits that all share do count
    r"|galadapt\.core\.(errors|log|parallel|provenance|stage)"
    r"|galadapt\.pipeline(\.(jobs|stages))?"
    r"|galadapt\.tasks(\.(class_experiment|document|experiment|prune|reading|registry|task))?"
    r"|galadapt\.tasks\.\w+\.(data|settings|stages)"
)


def digest(value: Any) -> str:
    """Return the first 16 hex digits of the SHA-256 of `value` as canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _strip_words(tree: ast.AST) -> ast.AST:
    """Remove docstrings, and descriptions of settings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Field":
            node.keywords = [one for one in node.keywords if one.arg != "description"]
        documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _tree_digest(tree: ast.AST) -> str:
    text = ast.dump(_strip_words(tree), annotate_fields=False, include_attributes=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _file(name: str) -> Path | None:
    """Find a module's source without importing it or its packages, which may be heavy."""
    base = ROOT.joinpath(*name.split(".")[1:])
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk all of a tree but what is there for the type checker alone."""
    yield tree
    for node in ast.iter_child_nodes(tree):
        test = node.test if isinstance(node, ast.If) else None
        if not (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"):
            yield from _running(node)


def _imports(tree: ast.AST) -> set[str]:
    """Every galadapt module that `tree` imports when it runs, with the packages around it."""
    named: set[str] = set()
    for node in _running(tree):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            named.add(node.module)
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            named |= {name for name in inner if name.startswith(f"{PACKAGE}.") and _file(name)}
    parts = [name.split(".") for name in named if name.split(".")[0] == PACKAGE]
    return {".".join(path[:length]) for path in parts for length in range(1, len(path) + 1)}


def _data_files(tree: ast.AST, folder: Path) -> list[Path]:
    """Find the files beside a module that its text names, such as a template or a table.

    Of a folder that it names, and that is no package, all files count.
    """
    named = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    beside = [path for path in folder.iterdir() if path.name in named]
    inner = [path for path in beside if path.is_dir() and not (path / "__init__.py").exists()]
    files = beside + [path for one in inner for path in one.iterdir()]
    return sorted(path for path in files if path.is_file())


class _Parsed(Kept):
    """What was found in sources before, by their content: parsing them all takes seconds."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        # Names of modules and of files beside them decide what a source refers to.
        names = sorted(
            f"{folder}/{name}"
            for folder, _, files in os.walk(ROOT)
            if not folder.endswith("__pycache__")
            for name in files
        )
        version = digest([names, file_digest(__file__), platform.python_version()])
        if self.get("version") != version:
            self.clear()
            self["version"] = version

    def of(self, path: Path) -> tuple[str, list[str], list[str]]:
        """Return a module's digest without its data files, its imports, and those files."""
        source = path.read_text(encoding="utf-8")
        key = hashlib.sha256(f"{path.parent}:{source}".encode()).hexdigest()
        if key not in self:
            tree = ast.parse(source)
            # Data files and imports are found before docstrings are taken out.
            data = [str(file.relative_to(path.parent)) for file in _data_files(tree, path.parent)]
            imports = sorted(_imports(tree))
            self[key] = [_tree_digest(tree), imports, data]
        found, imports, data = self[key]
        return found, imports, data


@cache
def _parsed() -> _Parsed:
    # Beside the compiled modules.
    return _Parsed(ROOT / "__pycache__" / "digests.json")


@cache
def _module(name: str) -> tuple[str, frozenset[str]]:
    path = _file(name)
    if path is None:
        raise GaladaptError(f"{name}: no such module; fix the import that names it")
    found, imports, data = _parsed().of(path)
    beside = [file_digest(path.parent / file) for file in data]
    return digest([found, *beside]), frozenset(imports)


def _counts(name: str) -> bool:
    return NOT_HASHED.fullmatch(name) is None


def _closure(roots: Iterable[str]) -> list[str]:
    todo, seen = set(filter(_counts, roots)), set[str]()
    while todo:
        name = todo.pop()
        seen.add(name)
        todo |= set(filter(_counts, _module(name)[1])) - seen
    return sorted(seen)


@cache
def code_digest(source: str, loaded: tuple[str, ...] = ()) -> str:
    """Digest the code that runs when `source` (Python text, for example one function) runs.

    Every galadapt module that it imports counts, every one `loaded` by name, and theirs in turn.
    Comments, docstrings and formatting change nothing.
    """
    tree = ast.parse(source)
    parts = [_tree_digest(tree)]
    parts += [f"{name}:{_module(name)[0]}" for name in _closure(_imports(tree) | set(loaded))]
    _parsed().keep()
    return digest(parts)


def code_modules(source: str, loaded: Iterable[str] = ()) -> list[str]:
    """Name the galadapt modules that `code_digest` of the same arguments covers."""
    return _closure(_imports(ast.parse(source)) | set(loaded))


@cache
def commit() -> str:
    """Name the commit of galadapt's checkout, with "-dirty" after local changes.

    Empty where galadapt does not run from a checkout, or git is missing.
    """
    try:
        # An environment inside somebody else's repository is no checkout of galadapt.
        _git("ls-files", "--error-unmatch", "__init__.py")
        return _git("describe", "--always", "--dirty", "--exclude=*", "--abbrev=12")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(*words: str) -> str:
    command = ["git", "-C", str(ROOT), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()


#: Variables of the environment that change what numerical libraries compute. They are named one by
#: one: variables of other programs, which may hold secrets, must not get into files.
_NUMERICAL = (
    *("KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS", "TF_DETERMINISTIC_OPS", "TF_CUDNN_DETERMINISTIC"),
    *("TF_XLA_FLAGS", "XLA_FLAGS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    *("JAX_ENABLE_X64", "JAX_DEFAULT_MATMUL_PRECISION", "JAX_PLATFORMS"),
    *("CUDA_VISIBLE_DEVICES", "NVIDIA_TF32_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG"),
    *("ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "MKL_CBWR", "MKL_NUM_THREADS"),
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE"),
)


def environment(packages: Iterable[str]) -> dict[str, Any]:
    """Commit, Python, machine, versions and numerical settings, for the run folder."""
    versions = {name: importlib.metadata.version(name) for name in packages}
    found: dict[str, Any] = {
        "commit": commit(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.platform(),
        **versions,
        "variables": {name: os.environ[name] for name in _NUMERICAL if name in os.environ},
    }
    keras = sys.modules.get("keras")
    if keras is not None:
        found["keras_settings"] = {
            "floatx": keras.config.floatx(),
            "dtype_policy": keras.config.dtype_policy().name,
            "epsilon": keras.config.epsilon(),
            "image_data_format": keras.config.image_data_format(),
        }
    return found
