"""Errors: complete, with a next step and an exit status."""

from __future__ import annotations

from esper_core.contracts import errors
from esper_core.contracts.errors import EsperError


def test_every_error_has_its_exit_code() -> None:
    classes = {c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, EsperError)}
    user = ["SlotIdError", "UnknownComponent", "AmbiguousComponent", "IncompatiblePlan", "ConfigError", "Refused"]
    expected = dict.fromkeys(["UserError", *user, "MissingPackage", "RegistryFileError"], 2)
    expected |= {"EsperError": 1, "PluginError": 3, "CheckpointMismatch": 4, "DamagedFile": 4}
    assert {c.__name__: c("Something happened.").exit_code for c in classes} == {**expected, "Interrupted": 130}
