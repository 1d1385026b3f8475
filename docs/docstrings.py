"""Docstrings as the reference shows them. A Sphinx extension, around napoleon, which reads their sections."""

import re


def keep_returns_whole(app, what, name, object, options, lines):
    """What is returned is described without its type; a colon in it would make a type of the words before."""
    for number, line in enumerate(lines[:-1]):
        if line.strip() in ("Returns:", "Yields:"):
            following = lines[number + 1]
            indent = len(following) - len(following.lstrip())
            lines[number + 1] = f"{following[:indent]}: {following[indent:]}"


def escape(app, what, name, object, options, lines):
    """|y| and (*shape) in docstrings are mathematics, not the marks of reStructuredText."""
    for number, line in enumerate(lines):
        parts = re.split(r"(`[^`]*`)", line)
        parts[::2] = [re.sub(r"([|*])", r"\\\1", part) for part in parts[::2]]
        lines[number] = "".join(parts)


def setup(app):
    app.connect("autodoc-process-docstring", keep_returns_whole, priority=100)
    app.connect("autodoc-process-docstring", escape, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
