"""The documentation site: `make docs`."""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import ClassVar

from ipython_pygments_lexers import IPython3Lexer
from pygments.lexer import bygroups, inherit, using
from pygments.lexers import SLexer
from pygments.token import Operator, Text

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))

project = "nodekit"
author = copyright = "The nodekit authors"
version = release = version_of("nodekit-ode")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "docstrings", "formulas", "outputs"]
html_theme = "furo"
html_title = f"nodekit {release}"
html_math_renderer = "mathml"
html_static_path = ["style"]
html_css_files = ["site.css"]
# Furo's own underlines imported names.
pygments_dark_style = "github-dark"

myst_enable_extensions = ["amsmath", "deflist", "dollarmath"]
myst_heading_anchors = 3

# The guides are notebooks as text: they run as the site is built, and an error is an error of the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_preserve_defaults = True
# `solve` in a docstring is a name, and a link where there is a page's place for it.
default_role = "py:obj"
autodoc_default_options = {"members": True, "show-inheritance": True}

# Pages that are files of the repository's root, and what their links are called here; a page keeps what it has itself.
ROOT_PAGES = {"index": "README.md", "contributing": "CONTRIBUTING.md", "changelog": "CHANGELOG.md"}
LINKS = {
    "](docs/": "](",
    "](CONTRIBUTING.md)": "](contributing.md)",
    "](CHANGELOG.md)": "](changelog.md)",
}


def read_root_page(app, page, source):
    """The text of a page that is a file of the repository's root."""
    if page in ROOT_PAGES:
        text = (ROOT / ROOT_PAGES[page]).read_text(encoding="utf-8")
        for link, here in LINKS.items():
            text = text.replace(link, here)
        source[0] = re.sub(r"\[(\w+(?:\.cff)?)\]\(\1\)", r"`\1`", text) + "\n" + source[0]


def write_r_pages(app):
    """The help pages of the R package, and its vignettes, run: docs/r. Where there is no R, a page says so."""
    folder = ROOT / "docs/r"
    if shutil.which("Rscript"):
        environment = os.environ | {"RETICULATE_PYTHON": sys.executable}
        script, package = ROOT / "docs/r_pages.R", ROOT / "rscripts/nodekitr"
        subprocess.run(["Rscript", script, package, folder], env=environment, check=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        text = "This site was built where there is no R. In R, `help(package = 'nodekitr')` has these pages."
        (folder / "index.md").write_text(f"# R reference\n\n{text}\n", encoding="utf-8")


class PythonAndR(IPython3Lexer):
    """Python's colours in notebooks, and R's in cells that begin with %%R."""

    in_r = (r"(?s)(\s*)(%%R)([^\n]*\n)(.*)", bygroups(Text, Operator, Text, using(SLexer)))
    tokens: ClassVar = {"root": [in_r, inherit]}


def setup(app):
    app.add_lexer("ipython3", PythonAndR)
    app.connect("builder-inited", write_r_pages)
    app.connect("source-read", read_root_page)
