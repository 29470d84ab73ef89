"""What every component must do, whatever its kind."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
from importlib import metadata

from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import ConfigError
from esper_core.plan.config import config_class, describe_options, structure_config, unstructure_config
from esper_core.registry.hookspecs import ENTRY_POINT_GROUP
from esper_core.registry.loading import HEAVY_MODULES
from esper_core.registry.references import load_reference
from esper_testing.conformance.subject import SLOTS, Subject
from esper_testing.conformance.suite import BUILT, Suite

EVERY_KIND = Suite("", ("registration", "spec", "light-config", "config", BUILT))

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


@EVERY_KIND.check("registration", after=())
def registration(subject: Subject) -> None:
    """Importing the plugin's module, as every command does, imports nothing heavy such as torch."""
    _assert_light(subject, _module(subject))


@EVERY_KIND.check("spec", after=())
def spec(subject: Subject) -> None:
    """Everything the spec names can be imported, and it says in one line what the component is."""
    for reference in filter(
        None,
        (
            subject.spec.factory,
            subject.spec.config,
            subject.spec.describe,
            subject.spec.metrics,
            subject.spec.example,
        ),
    ):
        load_reference(reference, str(subject.component), subject.component.distribution)
    assert subject.spec.summary.strip(), "its spec has no summary, so listings cannot say what it is"
    if subject.kind in ("features", "environment"):
        assert subject.spec.describe, f"its spec has no `describe`, without which no plan holds a {subject.kind}"


@EVERY_KIND.check("light-config", after=("registration", "spec"))
def light_config(subject: Subject) -> None:
    """The modules of its config class, `describe` and metrics import nothing heavy, so that plans need no torch."""
    references = filter(None, (subject.spec.config, subject.spec.describe, subject.spec.metrics))
    _assert_light(subject, *(reference.partition(":")[0] for reference in references))


@EVERY_KIND.check("config", after=("spec",))
def config(subject: Subject) -> None:
    """Its config class has defaults, explains every option, survives being written down, and refuses unknown keys."""
    component = subject.component
    cls = config_class(component)
    undocumented = [row.key for row in describe_options(cls) if not row.help.strip()]
    assert not undocumented, f"options without a line of help: {', '.join(undocumented)}"
    default = structure_config(component, {})
    again = structure_config(component, unstructure_config(default))
    assert again == default, f"its config changes when it is written down and read back: {default} became {again}"
    try:
        structure_config(component, {"no_such_option": 1})
    except ConfigError:
        return
    raise AssertionError("its config takes in an option that does not exist")


@EVERY_KIND.check(BUILT, after=("config",))
def built(subject: Subject) -> None:
    """Its factory builds what its kind's protocol asks for, with default or example options, for any N."""
    for slots in SLOTS:
        part = subject.build(slots)
        assert part is not None, f"its factory returned None for {slots} slots"
        if subject.kind == "environment":
            part.close()


def _module(subject: Subject) -> str:
    component = subject.component
    for point in metadata.entry_points(group=ENTRY_POINT_GROUP):
        owner = normalise_name(point.dist.name) if point.dist is not None else ""
        if (point.name, owner) == (component.plugin, normalise_name(component.distribution)):
            return point.module
    raise AssertionError(
        f"no entry point '{component.plugin}' of {component.distribution} is in the group {ENTRY_POINT_GROUP}"
    )


def _assert_light(subject: Subject, *modules: str) -> None:
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
