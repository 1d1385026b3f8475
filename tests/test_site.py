"""What makes the documentation site of its pages: formulas as MathML, outputs without paths, figures, docstrings."""

import importlib.util
import re
import warnings
from pathlib import Path
from xml.etree import ElementTree

import pytest

GROUP = "the site's tools are in the group docs"
utils = pytest.importorskip("docutils.utils", reason=GROUP)
nodes = pytest.importorskip("docutils.nodes", reason=GROUP)
napoleon = pytest.importorskip("sphinx.ext.napoleon", reason=GROUP)
pytest.importorskip("latex2mathml", reason=GROUP)
IPython = pytest.importorskip("IPython", reason=GROUP)

PAGES = [
    *(page for page in Path("docs").rglob("*.md") if page.parent.name != "r"),
    *Path("rscripts/nodekitr/vignettes").glob("*.Rmd"),
]
NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"


def module(name):
    """A module of the site, which is in no package."""
    spec = importlib.util.spec_from_file_location(name, f"docs/{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


docstrings, formulas, outputs = module("docstrings"), module("formulas"), module("outputs")


def formulas_of(page):
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`[^`]*`", "", text)
    blocks = re.findall(r"\$\$(.+?)\$\$", text, flags=re.DOTALL)
    inline = re.findall(
        r"(?<![\w$\\])\$(\S(?:[^$\n]|\n(?!\n))*?)\$(?![\w$])", re.sub(r"\$\$.+?\$\$", "", text, flags=re.DOTALL)
    )
    return [re.sub(r"\\tag\{\d+\}", "", formula) for formula in blocks + inline]


@pytest.mark.parametrize("page", [page for page in PAGES if formulas_of(page)], ids=str)
def test_every_formula_becomes_mathml(page):
    for formula in formulas_of(page):
        root = ElementTree.fromstring(formulas.mathml(formula, "block"))
        assert root.tag == f"{NAMESPACE}math"
        # Every letter and digit of the formula that is no command is there, once.
        shown = [sign for part in root.iter() for sign in part.text or "" if sign.isascii() and sign.isdigit()]
        assert sorted(shown) == sorted(re.findall(r"\d", re.sub(r"\\[a-z]+", " ", formula)))


def parts_of(tex):
    return [
        (part.tag.removeprefix(NAMESPACE), part.text)
        for part in ElementTree.fromstring(formulas.mathml(tex, "block")).iter()
    ]


def test_a_formula_has_its_structure():
    assert parts_of(r"\frac{a}{2} < \mathbf h")[2:] == [
        ("mfrac", None),
        ("mrow", None),
        ("mi", "a"),
        ("mrow", None),
        ("mn", "2"),
        ("mo", "<"),
        ("mi", "\N{MATHEMATICAL BOLD SMALL H}"),
    ]
    assert ("mo", "\N{LONG RIGHTWARDS DOUBLE ARROW}") in parts_of(r"a \Longrightarrow b")


@pytest.mark.parametrize(
    ("tex", "said"),
    [
        (r"\unknown x", "unknown command"),
        (r"\frac{1}", "argument is missing"),
        (r"\mathbf{\theta}", "bold θ"),
        ("x_", "MissingSuperScriptOrSubscript"),
    ],
)
def test_a_formula_that_browsers_would_not_show_is_refused(tex, said):
    with pytest.raises(ValueError, match=said):
        formulas.mathml(tex, "inline")


def test_paths_of_the_machine_are_found_in_what_is_published(tmp_path):
    paths = outputs.machine_paths()
    here = Path.cwd()
    (tmp_path / "sound.html").write_text("<p>results/report.html, /tmp/decay, 1/2, https://a.org/home/x</p>")
    (tmp_path / "guide.html").write_text(f"<pre>File {here}/nodekit/_solve.py:1</pre>")
    (tmp_path / "guide.ipynb").write_text(
        '"/tmp/ipykernel_12/3.py:4: UserWarning"'.replace("/tmp", outputs.tempfile.gettempdir())
    )
    (tmp_path / "picture.png").write_bytes(str(here).encode())
    assert [file.name for file, _ in outputs.places_of(paths, tmp_path)] == ["guide.html", "guide.ipynb"]


def test_an_error_is_shown_by_its_class_and_message_and_a_warning_too(capsys, monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    shell = IPython.core.interactiveshell.InteractiveShell.instance()
    try:
        before = set(shell.user_ns)
        shell.safe_execfile("docs/kernel_start.py", shell.user_ns, raise_exceptions=True)
        assert set(shell.user_ns) == before
        shell.run_cell("import nodekit, torch\nnodekit.odeint(lambda t, y: y**2, torch.ones(1), [0.0, 2.0])")
        shown = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
        assert shown.startswith("StepSizeUnderflow: ")
        assert ".py" not in shown
        assert len(shown.strip().splitlines()) == 1
        assert warnings.formatwarning("take care", UserWarning, "/a/path.py", 3) == "UserWarning: take care\n"
    finally:
        IPython.core.interactiveshell.InteractiveShell.clear_instance()


def test_a_colon_in_what_is_returned_makes_no_type_of_the_words_before():
    lines = ["Solve.", "", "Returns:", "    The state. With an event: its time.", "    Both have gradients.", ""]
    docstrings.keep_returns_whole(None, "function", "solve", None, None, lines)
    fields = str(napoleon.GoogleDocstring(lines))
    assert ":rtype:" not in fields
    assert ":returns: The state. With an event: its time." in fields


def test_a_figure_without_a_text_is_named_by_its_section():
    drawn, described = nodes.image(uri="1.png"), nodes.image(uri="2.png", alt="A spiral")
    page = nodes.section("", nodes.title("", "A guide"), described, nodes.section("", nodes.title("", "Data"), drawn))
    document = utils.new_document("guide")
    document += page
    outputs.describe_figures(None, document)
    assert (drawn["alt"], described["alt"]) == ("Figure: Data", "A spiral")
