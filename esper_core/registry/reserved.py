"""Words that mean something in every installation, and that no kind may be named."""

from __future__ import annotations

from collections.abc import Mapping

SETTINGS: Mapping[str, type] = {
    "policy": str,
    "slots": str,
    "envs": int,
    "epochs": int,
    "workers": int,
    "updates": int,
    "seed": int,
    "device": str,
    "threads": int,
    "precision": str,
}
"""Keys of `[defaults]` that are not kinds, and their types; slots may be written as a number too."""

COMMAND = "command"
"""What stands for commands where `KIND/NAME` means a component."""

RESERVED_KINDS = ("train", "options", COMMAND, *SETTINGS)
"""Words that mean something else where a kind can stand: `-o KIND.key`, `[defaults]`, `[policy.X]`, `KIND/NAME`."""
