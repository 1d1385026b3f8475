"""What programs print and draw, as the site shows it: no path of the machine that built it, a text for each figure.

A Sphinx extension. Kernels begin with `kernel_start.py` and draw by `matplotlibrc`, R by `figures.R`. A path that is in
the built files all the same is a warning, and so an error of `make docs`.
"""

import os
import re
import sysconfig
import tempfile
from pathlib import Path

from docutils import nodes
from sphinx.util import logging

logger = logging.getLogger(__name__)

DOCS = Path(__file__).resolve().parent
PUBLISHED = {".html", ".ipynb", ".js", ".md", ".svg", ".txt", ".xml"}


def machine_paths() -> re.Pattern:
    """What begins a path of this machine: the clone, its packages, a home, files of a kernel's or R's session."""
    temporary = tempfile.gettempdir()
    here = [DOCS.parent, sysconfig.get_path("purelib"), f"{temporary}/ipykernel_", f"{temporary}/Rtmp"]
    known = "|".join(re.escape(str(path)) for path in here)
    # Homes of any machine, such as the one that built PyTorch; in an address they are none.
    return re.compile(rf"{known}|(?<![\w.:/-])/(?:home|Users|root|__w)/\w")


def places_of(paths: re.Pattern, folder: Path) -> list[tuple[Path, str]]:
    """The published files of a folder that name such a path, each with the first line that does."""
    found = []
    for file in sorted(file for file in folder.rglob("*") if file.suffix in PUBLISHED):
        text = file.read_text(encoding="utf-8", errors="replace")
        if match := paths.search(text):
            found.append((file, text[max(0, match.start() - 60) : match.end() + 60].replace("\n", " ")))
    return found


def check_paths(app, error):
    """Every built page, and every notebook to download, names no path of this machine."""
    if error is None and app.builder.format == "html":
        for file, text in places_of(machine_paths(), Path(app.outdir)):
            logger.warning("%s shows a path of the machine that built it: … %s …", file.relative_to(app.outdir), text)


def describe_figures(app, doctree):
    """A figure that a program drew is named by its section, for who does not see it."""
    for image in doctree.findall(nodes.image):
        if not image.get("alt") or image["alt"].startswith("plot of chunk"):
            section = image
            while section is not None and not isinstance(section, nodes.section):
                section = section.parent
            if section is not None:
                image["alt"] = f"Figure: {section.next_node(nodes.title).astext()}"


def setup(app):
    os.environ["PYTHONSTARTUP"] = str(DOCS / "kernel_start.py")
    os.environ["MATPLOTLIBRC"] = str(DOCS / "matplotlibrc")
    os.environ["R_PROFILE_USER"] = str(DOCS / "figures.R")
    app.connect("doctree-read", describe_figures)
    app.connect("build-finished", check_paths)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
