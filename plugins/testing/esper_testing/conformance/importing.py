"""Whether modules that every command imports are light: they import nothing such as torch."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
from importlib import metadata

from esper_core.contracts.components import normalise_name
from esper_core.registry.hookspecs import ENTRY_POINT_GROUP
from esper_core.registry.index import Command, Component
from esper_core.registry.loading import HEAVY_MODULES

_LIGHT = """
import importlib, json, os, sys
sys.path[:0] = json.loads(sys.argv[1])
from esper_core.contracts.foreign import described
try:
    for module in json.loads(sys.argv[2]):
        importlib.import_module(module)
    heavy = [name for name in json.loads(sys.argv[3]) if name in sys.modules]
    wrong = f"it imports {', '.join(heavy)}" if heavy else ""
except BaseException as error:
    wrong = described(error)
os.write(int(sys.argv[4]), json.dumps(wrong).encode())
"""


def entry_module(brought: Component | Command) -> str:
    """Return the module of the plugin that brings a component or a command; raises AssertionError without one."""
    for point in metadata.entry_points(group=ENTRY_POINT_GROUP):
        owner = normalise_name(point.dist.name) if point.dist is not None else ""
        if (point.name, owner) == (brought.plugin, normalise_name(brought.distribution)):
            return point.module
    raise AssertionError(
        f"no entry point '{brought.plugin}' of {brought.distribution} is in the group {ENTRY_POINT_GROUP}"
    )


def assert_light(*modules: str) -> None:
    """Fail when importing modules imports something heavy, or does not work."""
    wrong = _trouble_importing(modules, tuple(sys.path))
    assert not wrong, f"{', '.join(modules)}: {wrong}"


@functools.cache
def _trouble_importing(modules: tuple[str, ...], path: tuple[str, ...]) -> str:
    """Import modules in a process of their own, once for all components of a plugin, and return what went wrong."""
    # An import may print, or end the process: what is not said on this file has not come to its end.
    with tempfile.TemporaryFile() as said:
        arguments = (json.dumps(value) for value in (path, modules, HEAVY_MODULES, said.fileno()))
        command = [sys.executable, "-c", _LIGHT, *arguments]
        done = subprocess.run(command, capture_output=True, check=False, pass_fds=(said.fileno(),))
        said.seek(0)
        answer = said.read()
    return str(json.loads(answer)) if answer else f"the process ended with status {done.returncode}"
