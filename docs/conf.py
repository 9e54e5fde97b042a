"""Configuration of Sphinx: `make docs` builds docs/_build/html, with warnings as errors.

Sphinx with MyST and the PyData theme is what numpy, astropy and photutils use: their readers know
the layout, and intersphinx, autodoc and executed notebooks come with it.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from generate import generate, not_executed  # noqa: E402

from galadapt import __version__  # noqa: E402

generate(HERE)

project = "galadapt"
author = "the galadapt developers"
copyright = author
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
exclude_patterns = ["_build", "_generated/*.md", "jupyter_execute", "examples/generated/results"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4

# The examples are run when the pages are built: one that fails breaks the build.
nb_execution_mode = "cache"
nb_execution_excludepatterns = not_executed(HERE)
nb_execution_cache_path = str(HERE / "_build" / "cache")
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_show_tb = True
nb_merge_streams = True
# Progress and messages of libraries.
nb_output_stderr = "remove"

autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_use_rtype = False

html_theme = "pydata_sphinx_theme"
html_title = f"galadapt {version}"
html_static_path: list[str] = []
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}
