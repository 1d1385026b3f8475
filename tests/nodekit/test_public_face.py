"""What editors and type checkers see of the library."""

import inspect
from importlib.metadata import version
from importlib.resources import files

import pytest

import nodekit
from nodekit import errors, flows, latent

plot = pytest.importorskip("nodekit.plot")

PUBLIC = {
    f"{module.__name__}.{name}": thing
    for module in (nodekit, errors, flows, latent, plot)
    for name, thing in vars(module).items()
    if not name.startswith("_") and (inspect.isclass(thing) or inspect.isfunction(thing))
    if getattr(thing, "__module__", "").startswith("nodekit")
}


def functions(thing):
    """A function itself; of a class, its constructor and the public methods that it defines."""
    if inspect.isfunction(thing):
        return [thing]
    members = [value for name, value in vars(thing).items() if name in ("__init__", "__call__") or name[0] != "_"]
    return [member for member in (getattr(value, "__func__", value) for value in members) if inspect.isfunction(member)]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_signature_is_annotated(name):
    for function in functions(PUBLIC[name]):
        signature = inspect.signature(function)
        bare = [
            parameter.name
            for parameter in signature.parameters.values()
            if parameter.annotation is parameter.empty and parameter.name not in ("self", "cls")
        ]
        assert not bare, f"{function.__qualname__}: {', '.join(bare)}"
        assert function.__name__ == "__init__" or signature.return_annotation is not signature.empty, (
            f"{function.__qualname__} does not say what it returns"
        )


def test_the_version_is_that_of_the_distribution():
    assert nodekit.__version__ == version("nodekit-ode")


def test_the_library_says_that_it_is_typed():
    assert files(nodekit).joinpath("py.typed").is_file()
