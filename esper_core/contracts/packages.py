"""Packages that esper does without until a component that needs one is asked for."""

from __future__ import annotations

from importlib.util import find_spec

from esper_core.contracts.errors import MissingPackage


def has_package(name: str) -> bool:
    """Return whether a top-level package can be imported, without importing it."""
    try:
        return find_spec(name) is not None
    except ValueError:  # a module that was made by hand
        return True


def require_package(name: str, component: str) -> None:
    """Raise MissingPackage, with the line that installs it, unless a package is there for a component."""
    if not has_package(name):
        raise MissingPackage(
            f"The {component} needs the package '{name}', which is not installed.", hint=f"pip install {name}"
        )
