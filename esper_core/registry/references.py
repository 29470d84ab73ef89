"""Importing what a spec names as `module:attribute`."""

from __future__ import annotations

import contextlib
import importlib
import sys
from importlib.util import find_spec
from typing import Any

from esper_core.contracts.errors import PluginError
from esper_core.contracts.foreign import DEBUG_HINT, asks_to_stop, described
from esper_core.system.packages import CORE_DISTRIBUTION, advice


def lacks_module(reference: str) -> str:
    """Return what is wrong where the module of `module:attribute` cannot be found, else an empty string.

    The module is not imported; packages that it is part of are.
    """
    module = reference.partition(":")[0]
    with contextlib.suppress(Exception):
        if find_spec(module) is not None:
            return ""
    return f"it names '{reference}', but there is no module '{module}'"


def load_reference(reference: str, owner: str, distribution: str = CORE_DISTRIBUTION) -> Any:
    """Import `module:attribute` and return it.

    Args:
        reference: What a spec names.
        owner: What needs it and where that comes from, such as "network 'lstm-v2' (esper-lstm-v2 0.1.0)".
        distribution: Where that comes from, which declares what it needs.

    Raises PluginError where a module is missing, it raised on import, or it has no such attribute.
    """
    module_name, _, attribute = reference.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except BaseException as error:
        if asks_to_stop(error):
            raise
        hint = "Its distribution is incomplete or its spec is wrong; reinstall it or report this to its author."
        missing = (error.name or "") if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{module_name}.".startswith(f"{missing}."):
            said = f"names '{reference}', but there is no module '{missing}'"
        elif missing is not None:
            said = f"cannot be imported: '{module_name}' needs the module '{missing}', which is missing"
            hint = advice(missing, distribution)
        elif isinstance(error, AttributeError) and error.obj is sys.modules.get(module_name):
            said = f"names '{reference}', but '{module_name}' has no attribute '{attribute}'"
        else:
            said, hint = f"cannot be imported: '{module_name}' raised {described(error)}", DEBUG_HINT
        raise PluginError(f"{owner} {said}.", hint=hint) from error
