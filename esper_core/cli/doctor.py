"""`esper plugins doctor`: what is installed, what is wrong with it, and what to do."""

from __future__ import annotations

import platform
import sys

import typer
from attrs import asdict

from esper_core.cli import choices
from esper_core.cli.document import leave_to_others
from esper_core.cli.installed import installed_of
from esper_core.cli.output import print_json, print_table, say
from esper_core.cli.plugins import place, record_json
from esper_core.diagnosis.doctor import LEVELS, diagnose


def doctor(context: typer.Context, as_json: choices.AsJson = False) -> None:
    """Examine the installation; whatever is broken, this works and says what to do."""
    leave_to_others()
    installed = installed_of(context)
    index = installed.loaded[0] if installed.loaded else None
    diagnosis = diagnose(installed.settings.registry, installed.settings.no_plugin, index)
    python = {"version": platform.python_version(), "executable": sys.executable, "prefix": sys.prefix}
    if as_json:
        print_json(
            {
                "healthy": diagnosis.healthy,
                "python": python,
                "esper_core": diagnosis.version,
                "registry": str(diagnosis.registry) if diagnosis.registry else None,
                "plugins": [record_json(record) for record in diagnosis.index.plugins],
                "findings": [asdict(finding) for finding in diagnosis.findings],
            }
        )
        return
    say(f"esper-core     {diagnosis.version or 'not installed'}")
    say(f"Python         {python['version']}, {python['executable']}")
    say(f"sys.prefix     {python['prefix']}")
    say(f"registry file  {diagnosis.registry or 'none'}", "")
    rows = [(r.plugin, r.distribution, r.version, r.status, place(r)) for r in diagnosis.index.plugins]
    print_table(("plugin", "distribution", "version", "status", "lies in"), rows)
    for finding in diagnosis.findings:
        say("", f"{finding.level}: {finding.message}", *(f"  {line}" for line in finding.advice.splitlines()))
    counts = {level: sum(finding.level == level for finding in diagnosis.findings) for level in LEVELS}
    said = [f"{count} {level}{'s' * (count > 1)}" for level, count in counts.items() if count]
    say("", ", ".join(said) or "Nothing is wrong.")
