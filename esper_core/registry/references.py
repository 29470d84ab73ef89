"""Importing what a spec names as `module:attribute`."""

from __future__ import annotations

import importlib
from typing import Any

from esper_core.contracts.errors import FactoryError
from esper_core.contracts.foreign import DEBUG_HINT, asks_to_stop, described
from esper_core.system.packages import CORE_DISTRIBUTION, advice


def load_reference(reference: str, owner: str, distribution: str = CORE_DISTRIBUTION) -> Any:
    """Import `module:attribute` and return it.

    Args:
        reference: What a spec names.
        owner: What needs it and where that comes from, such as "network 'lstm-v2' (esper-lstm-v2 0.1.0)".
        distribution: Where that comes from, which declares what it needs.

    Raises:
        FactoryError: the module is missing, it needs a module that is missing, it raised while being imported, or
            it has no such attribute.
    """
    module_name, _, attribute = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name == missing or module_name.startswith(f"{missing}."):
            raise FactoryError(
                f"{owner} names '{reference}', but there is no module '{missing}'.",
                hint="Its distribution is incomplete or its spec is wrong; reinstall it or report this to its author.",
            ) from error
        raise FactoryError(
            f"{owner} cannot be imported: '{module_name}' needs the module '{missing}', which is missing.",
            hint=advice(missing, distribution),
        ) from error
    except BaseException as error:
        if asks_to_stop(error):
            raise
        raise FactoryError(
            f"{owner} cannot be imported: '{module_name}' raised {described(error)}.", hint=DEBUG_HINT
        ) from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        raise FactoryError(
            f"{owner} names '{reference}', but '{module_name}' has no attribute '{attribute}'.",
            hint="Its spec is wrong; report this to its author.",
        ) from error
