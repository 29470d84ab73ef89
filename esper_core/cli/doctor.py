"""`esper plugins doctor`: what is installed, what is wrong with it, and what to do."""

from __future__ import annotations

import platform
import sys
from typing import Annotated

import typer
from attrs import asdict

from esper_core.cli.document import leave_to_others
from esper_core.cli.installed import installed_of
from esper_core.cli.output import print_json, print_table, say
from esper_core.cli.plugins import record_json
from esper_core.diagnosis.doctor import LEVELS, Diagnosis, diagnose


def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Examine the installation; whatever is broken, this works and says what to do."""
    leave_to_others()
    installed = installed_of(context)
    diagnosis = diagnose(installed.settings.registry, installed.settings.no_plugin, installed.loaded)
    if as_json:
        print_json(
            {
                "healthy": diagnosis.healthy,
                "python": {"version": platform.python_version(), "executable": sys.executable, "prefix": sys.prefix},
                "esper_core": diagnosis.version,
                "registry": str(diagnosis.registry) if diagnosis.registry else None,
                "plugins": [record_json(record) for record in diagnosis.index.plugins],
                "findings": [asdict(finding) for finding in diagnosis.findings],
            }
        )
        return
    _print(diagnosis)


def _print(diagnosis: Diagnosis) -> None:
    say(f"esper-core     {diagnosis.version or 'not installed'}")
    say(f"Python         {platform.python_version()}, {sys.executable}")
    say(f"sys.prefix     {sys.prefix}")
    say(f"registry file  {diagnosis.registry or 'none'}", "")
    rows = [
        (r.plugin, r.distribution, r.version, r.status, f"{r.location}{' (editable)' if r.editable else ''}")
        for r in diagnosis.index.plugins
    ]
    print_table(("plugin", "distribution", "version", "status", "lies in"), rows)
    for finding in diagnosis.findings:
        say("", f"{finding.level}: {finding.message}")
        for line in finding.advice.splitlines():
            say(f"  {line}")
    counts = {level: sum(finding.level == level for finding in diagnosis.findings) for level in LEVELS}
    said = [f"{count} {level}{'s' * (count > 1)}" for level, count in counts.items() if count]
    say("", ", ".join(said) or "Nothing is wrong.")
