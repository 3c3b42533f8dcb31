"""The site that ``make docs`` builds: README, guides, threats, and the public names' docstrings.

Sphinx's own name for its configuration; Hydra's, of the experiments, is the folder ``conf``.
"""

import inspect
from importlib import import_module
from importlib.metadata import version as version_of
from typing import Any

from tests.test_public_api import OPEN_ENDED, PUBLIC

project = "bcfl"
release = version_of("bcfl")
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinxcontrib.mermaid",
]
root_doc = "README"
include_patterns = ["README.md", "CHANGELOG.md", "SECURITY.md", "contracts/*.md", "notebooks/*"]
exclude_patterns = ["notebooks/figures"]
html_theme = "furo"
html_title = project
html_copy_source = False

myst_enable_extensions = ["amsmath", "dollarmath"]
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 4
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints = "description"
napoleon_google_docstring = False

CONTENTS = """
```{{toctree}}
:hidden:
:caption: {caption}
{pages}
```
"""
USE = "own_project real_machines membership encryption marketplace experiments audit cost extending"
UNDERSTAND = "protocol quickstart trust"


def contents(_app: Any, page: str, source: list[str]) -> None:
    """What GitHub has no use for: the README's table of contents, the reference's directives."""
    if page == root_doc:
        for caption, names in (("Guides", USE), ("The method", UNDERSTAND)):
            pages = "\n".join(f"notebooks/{name}" for name in names.split())
            source[0] += CONTENTS.format(caption=caption, pages=pages)
        rest = "notebooks/reference\ncontracts/THREATS\nSECURITY\nCHANGELOG"
        source[0] += CONTENTS.format(caption="Reference", pages=rest)
    if page == "notebooks/reference":
        for package in (*PUBLIC, *OPEN_ENDED):
            source[0] += f"\n## {package}\n"
            shown = PUBLIC["bcfl"] if package != "bcfl" else set()
            for name in sorted(set(import_module(package).__all__) - shown):
                kind = (
                    "class"
                    if inspect.isclass(getattr(import_module(package), name))
                    else "function"
                )
                source[0] += f"\n```{{eval-rst}}\n.. auto{kind}:: {package}.{name}\n```\n"


def setup(app: Any) -> None:
    """Sphinx's hook."""
    app.connect("source-read", contents)
