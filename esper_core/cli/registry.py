"""`esper registry`: the file with named policies and local choices."""

from __future__ import annotations

import typer

from esper_core.cli import choices
from esper_core.cli.installed import load_installed
from esper_core.cli.output import print_json, say
from esper_core.contracts.errors import RegistryFileError
from esper_core.diagnosis.check import check_recipes


def check(context: typer.Context, as_json: choices.AsJson = False) -> None:
    """Check the registry file: its keys, its names, and that every policy makes a plan."""
    index, recipes = load_installed(context)
    errors = check_recipes(recipes, index)
    if errors:
        first, *others = errors
        shown = "\n".join(f"{error.message}{f' {error.hint}' if error.hint else ''}" for error in others)
        raise RegistryFileError(first.message, hint="\n".join(filter(None, (first.hint, shown))))
    policies = sorted(recipes.policies)
    if as_json:
        print_json({"file": str(recipes.path) if recipes.path else None, "policies": policies, "errors": []})
    elif recipes.path is None:
        say("There is no registry.toml here or above; esper works without one.")
    else:
        say(f"{recipes.path} is fine: {len(policies)} policies ({', '.join(policies) or 'none'}).")
