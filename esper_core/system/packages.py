"""Optional packages: whether they are installed, and what may be suggested to install.

Anybody can register a name on an index. So only names that an installed distribution declares are ever suggested.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib import metadata
from importlib.util import find_spec

from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import MissingPackage
from esper_core.system.machine import installed_version

CORE_DISTRIBUTION = "esper-core"
LOCAL_DISTRIBUTION = "local"
"""What stands for the distribution of a component that none brings: a class or an object of a script."""

_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(\[[\w, .-]*\])?\s*"
    r"\(?(?P<versions>([<>=!~]=?=?\s*[\w.*+!-]+\s*,?\s*)*)\)?\s*(;(?P<marker>.*))?"
)
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+!-]*")


def has_package(name: str) -> bool:
    """Return whether a top-level package can be imported, without importing it."""
    try:
        return find_spec(name) is not None
    except ValueError:  # a module that was made by hand
        return True


def require_package(name: str, component: str, distribution: str) -> None:
    """Raise MissingPackage, with what to do about it, unless a top-level package is there.

    `component`, such as "observer 'wandb'", needs it, and `distribution` brings that and declares what it needs.
    """
    if not has_package(name):
        raise MissingPackage(
            f"The {component} needs the package '{name}', which is not installed.", hint=advice(name, distribution)
        )


def require_distribution(distribution: str, user: str) -> None:
    """Raise MissingPackage, with the line that installs it, unless a distribution is there that `user` belongs to."""
    if not installed_version(distribution):
        raise MissingPackage(
            f"{user} belongs to {distribution}, which is not installed.", hint=pip_install([distribution])
        )


def advice(module: str, distribution: str) -> str:
    """Return what to do about a missing module that a distribution needs.

    Only what the distribution declares is suggested: the requirement of that name, in an extra or not, else those
    without condition that are not installed. Where it declares nothing of the kind, its author has to be asked.
    """
    top, declared = normalise_name(module.partition(".")[0]), list(declarations(distribution))
    wanted = [text for name, text, _ in declared if name == top][:1]
    wanted = wanted or [text for name, text, marker in declared if not marker and not installed_version(name)]
    if wanted:
        return pip_install(wanted)
    return (
        f"Nothing that {distribution} declares is known to bring the module '{module}', so nothing is suggested: "
        f"ask the author of {distribution} what to install."
    )


def pip_install(requirements: Iterable[str]) -> str:
    """Return the line that installs requirements, to be pasted into a shell."""
    quoted = [f'"{text}"' if re.search(r"[<>=~]", text) else text for text in dict.fromkeys(requirements)]
    return f"pip install {' '.join(quoted)}"


def pinned(distribution: str, version: str) -> str | None:
    """Return `distribution==version`, or None where a record holds something else than a name and a version."""
    match = _REQUIREMENT.fullmatch(distribution)
    fits = match is not None and match["name"] == distribution and _VERSION.fullmatch(version)
    return f"{distribution}=={version}" if fits else None


def declarations(distribution: str) -> Iterator[tuple[str, str, str]]:
    """Yield what an installed distribution requires: normalised name, name with versions, and marker."""
    try:
        requirements = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return
    for requirement in requirements:
        match = _REQUIREMENT.fullmatch(requirement.strip())
        # A shell reads `!` within quotes, and what stands behind an address may be anything.
        if match is not None:
            versions = "".join(match["versions"].split())
            text = match["name"] if "!" in versions else f"{match['name']}{versions}"
            yield normalise_name(match["name"]), text, (match["marker"] or "").strip()
