"""What is released: wheel and sdist install alone and import; the documentation builds without a warning.

Opt-in, because it builds and downloads: `make test OPTIONS="-m release"`.
"""

import ast
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

import nodekit
import nodekit.flows
import nodekit.latent
from pipeline.data._registry import load_registry

IMPORTED = """
import torch, nodekit, nodekit.flows, nodekit.latent
y = nodekit.odeint(lambda t, y: -y, torch.ones(1, dtype=torch.float64), torch.tensor([0.0, 1.0], dtype=torch.float64))
assert abs(y[-1].item() - 0.36787944117144233) < 1e-6
print(nodekit.__file__)
"""


def run(*command, **named):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **named)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def names_in(archive):
    """What a wheel or an sdist holds."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as opened:
            return opened.namelist()
    with tarfile.open(archive) as opened:
        return opened.getnames()


@pytest.mark.release
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_the_distribution_installs_alone_and_solves(tmp_path, kind):
    run("uv", "build", f"--{kind}", "--out-dir", tmp_path)
    (built,) = [path for path in tmp_path.iterdir() if path.suffix in (".whl", ".gz")]
    assert not [name for name in names_in(built) if "pipeline" in name or name.endswith((".pt", ".npz"))]
    run("uv", "venv", "--python", sys.executable, tmp_path / "clean")
    python = tmp_path / "clean/bin/python"
    run("uv", "pip", "install", "--python", python, "--no-deps", built)
    # Torch and numpy, which are large, are lent by this environment; nodekit is not.
    target = next((tmp_path / "clean/lib").glob("python*/site-packages"))
    for path in Path(torch.__file__).parents[1].iterdir():
        if not (target / path.name).exists() and "nodekit" not in path.name and path.suffix != ".pth":
            (target / path.name).symlink_to(path)
    where = run(python, "-c", IMPORTED, cwd=tmp_path)
    assert str(tmp_path / "clean") in where


@pytest.mark.release
def test_the_documentation_builds_without_a_warning(tmp_path):
    run(sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "-q", "docs", tmp_path)
    assert "nodekit.odeint" in (tmp_path / "api.html").read_text(encoding="utf-8")
    for page in [*Path("rscripts/nodekitr/man").glob("*.Rd"), *Path("rscripts/nodekitr/vignettes").glob("*.Rmd")]:
        text = (tmp_path / f"r/{page.stem}.html").read_text(encoding="utf-8")
        assert "nodekit was not available" not in text, page


def test_every_public_name_is_in_the_reference():
    text = Path("docs/api.md").read_text(encoding="utf-8")
    for module in (nodekit, nodekit.flows):
        for name in set(module.__all__) - {"errors", "NodekitError"}:
            assert f":: {name}\n" in text, f"docs/api.md lacks {name}"
    for module in ("nodekit.errors", "nodekit.latent", "nodekit.plot"):
        assert f"automodule:: {module}\n" in text
    latent = ast.parse(Path(nodekit.latent.__file__).read_text(encoding="utf-8"))
    for node in latent.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"nodekit.latent.{node.name} has no docstring"


def test_version_changelog_and_citation_agree():
    current = version("nodekit-ode")
    assert nodekit.__version__ == current
    assert f"## {current}" in Path("CHANGELOG.md").read_text(encoding="utf-8")
    assert f"version: {current}\n" in Path("CITATION.cff").read_text(encoding="utf-8")


def test_every_data_set_has_a_licence_in_the_documentation():
    page = Path("docs/data.md").read_text(encoding="utf-8")
    for source in load_registry().values():
        assert source.licence.split(";")[-1].split(",")[0].strip() in page or source.licence in page, source.title
