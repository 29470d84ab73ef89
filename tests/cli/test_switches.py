"""Switching plugins off: decided by name, in any spelling, before anything is imported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def noisy(install, tmp_path: Path) -> tuple[Path, Path]:
    """A plugin that leaves a file behind when it is imported, and ends the process; and that file."""
    trace = tmp_path / "imported"
    code = f"import pathlib\npathlib.Path({str(trace)!r}).touch()\nraise SystemExit(4)"
    return install("acme-noisy-net", code, plugin="noisy.plugin"), trace


def states(done) -> dict[str, str]:
    assert done.returncode == 0, done.stderr
    return {record["plugin"]: record["status"] for record in json.loads(done.stdout)}


LIST = ("plugins", "list", "--json")


def test_what_is_switched_off_is_not_imported(esper, noisy, tmp_path):
    site, trace = noisy
    assert states(esper(*LIST, "--no-plugin", "Noisy_Plugin", path=site))["noisy.plugin"] == "disabled"
    (tmp_path / "registry.toml").write_text('schema = 1\n[plugins]\ndisabled = ["ACME.noisy_net"]\n')
    found = states(esper(*LIST, "--no-plugin", "obs-v3", path=site, ESPER_PLUGINS="noisy-plugin,obs-v3,growth"))
    assert {name for name, status in found.items() if status == "ok"} == {"core", "growth"}, "off beats the allow-list"
    assert not trace.exists()
    (tmp_path / "registry.toml").unlink()
    assert states(esper(*LIST, path=site))["noisy.plugin"] == "failed" and trace.exists(), "it is noisy"


@pytest.mark.parametrize(
    ("flags", "variables", "words"),
    [
        (("--no-plugin", "noisy-plugni"), {}, "There is no plugin 'noisy-plugni'. Did you mean 'noisy-plugin'?"),
        ((), {"ESPER_PLUGINS": "growth,obs-v4"}, "ESPER_PLUGINS: There is no plugin 'obs-v4'. Did you mean 'obs-v3'?"),
        (("--no-plugin", "core"), {}, "core's own plugin cannot be switched off"),
    ],
)
def test_a_wrong_name_is_refused_before_anything_is_imported(esper, noisy, flags, variables, words):
    site, trace = noisy
    done = esper(*LIST, *flags, path=site, **variables)
    assert done.returncode == 2 and words in done.stderr and done.stdout == ""
    assert not trace.exists()
