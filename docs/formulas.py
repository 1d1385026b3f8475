"""Formulas as MathML, made as the site is built: a browser sets them without a network and without a script.

A Sphinx extension. What cannot be converted is a warning, and so an error of `make docs`.
"""

import html
import re
from xml.etree.ElementTree import tostring

from docutils import nodes
from latex2mathml.converter import convert_to_element
from sphinx.util import logging

logger = logging.getLogger(__name__)

# How many parts such an element has: fewer, and a brace or an argument is missing in the TeX.
PARTS = {"mfrac": 2, "mroot": 2, "msub": 2, "msup": 2, "mover": 2, "munder": 2, "msubsup": 3, "munderover": 3}
PRIMES = ("\N{PRIME}", "\N{DOUBLE PRIME}", "\N{TRIPLE PRIME}")
# Arrows are relations, with room on both sides, and a semicolon separates; latex2mathml takes both for names.
OPERATOR = re.compile("[;\u2190-\u21ff\u27f0-\u27ff]")


def mathml(tex: str, display: str) -> str:
    """The element `math` of a formula in TeX.

    Args:
        tex: the formula, without the marks around it and without `\\tag`.
        display: "block" on lines of its own, "inline" in running text.

    Raises:
        ValueError: a command is not known, an argument is missing, or a letter has a style that browsers do not show.
    """
    # A style's argument in braces gets letters of that style; without them, an attribute that MathML Core has not.
    tex = re.sub(r"(\\(?:math|operatorname)\w*)\s+(\w)", r"\1{\2}", tex)
    try:
        element = convert_to_element(tex, display=display)
    except Exception as error:
        raise ValueError(f"{type(error).__name__} {error}") from error
    for part in element.iter():
        text = html.unescape(part.text or "")
        if "\\" in text:
            raise ValueError(f"unknown command {text}")
        if part.get("mathvariant", "normal") != "normal":
            raise ValueError(f"{part.get('mathvariant')} {text}: write the letter in braces")
        if len(part) != PARTS.get(part.tag, len(part)):
            raise ValueError(f"an argument is missing ({part.tag})")
        if part.tag == "mi" and OPERATOR.fullmatch(text):
            part.tag = "mo"
        if part.tag == "msup" and html.unescape(part[1].text or "") in PRIMES:
            # The sign is high by itself: as a superscript most fonts' would be too high and too small.
            part.tag, part[1].tag, part[1].attrib = "mrow", "mo", {"lspace": "0", "rspace": "0"}
        if part.tag == "mo" and text == "/":
            part.attrib |= {"lspace": "0", "rspace": "0"}
        part.text = text or None
    element.set("alttext", tex)
    return tostring(element, encoding="unicode")


def show(translator, node, tex: str, display: str) -> str:
    """The formula of a node; where it cannot be converted, its TeX, and a warning."""
    try:
        return mathml(tex, display)
    except ValueError as error:
        logger.warning("formula %r: %s", tex, error, location=node)
        return f"<code>{html.escape(tex)}</code>"


def visit_inline(translator, node):
    translator.body.append(f'<span class="math">{show(translator, node, node.astext(), "inline")}</span>')
    raise nodes.SkipNode


def visit_block(translator, node):
    """A formula on lines of its own, with the number that `\\tag` gives it at the right."""
    tex = node.astext()
    numbers = re.findall(r"\\tag\{([^{}]*)\}", tex)
    tex = re.sub(r"\s*\\tag\{[^{}]*\}", "", tex).strip()
    translator.body.append(translator.starttag(node, "div", CLASS="math formula"))
    translator.body.append(f'<div class="formula-scroll">{show(translator, node, tex, "block")}</div>')
    translator.body.extend(f'<span class="formula-number">({number})</span>' for number in numbers)
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", inline_renderers=(visit_inline, None), block_renderers=(visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
