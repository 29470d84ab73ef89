"""The doctor: whatever is broken, it works, and says what and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from esper_core.contracts.errors import UserError
from esper_core.diagnosis import doctor
from esper_core.diagnosis.doctor import Diagnosis, diagnose
from esper_core.diagnosis.switches import Switches
from esper_core.registry.discovery import entry_point_sources
from tests.registry.test_index import GOOD, HOOK

Install = Callable[..., None]

ALIASED = HOOK + "    yield ComponentSpec(kind='network', name='{name}', factory='a:b', aliases={aliases})\n"


pytestmark = pytest.mark.usefixtures("folder")


def said(diagnosis: Diagnosis, level: str) -> list[str]:
    return [finding.message for finding in diagnosis.findings if finding.level == level]


def advice(diagnosis: Diagnosis, about: str) -> str:
    (found,) = [finding.advice for finding in diagnosis.findings if about in finding.message]
    return found


def test_everything_is_broken(install: Install, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install("acme-raises", raises="raise RuntimeError('half installed')")
    install("acme-lacks", lacks="import module_that_nobody_has.deep")
    install("acme-grabs", grabs="@hookimpl\ndef esper_kinds(): yield KindSpec(name='network', protocol='a:b')")
    install("acme-stray", stray=HOOK + "    yield ComponentSpec(kind='netwrk', name='x', factory='a:b')\n")
    install("acme-one", one=GOOD.format(name="shared"))
    install("acme-two", two=GOOD.format(name="shared"))
    install("acme-alias", alias=ALIASED.format(name="first", aliases=("shared", "nick")))
    install("acme-alias2", alias2=ALIASED.format(name="second", aliases=("Nick",)))
    (folder / "registry.toml").write_text(
        'schema = 1\n[defaults]\nenvironment = "growht"\n[plugins]\ndisabled = ["obs-v4", "acme-off"]\n'
    )
    install("acme-off", off="raise SystemError('imported')")
    diagnosis = diagnose(no_plugin=("nobody",))
    assert not diagnosis.healthy
    errors, warnings, notes = (" | ".join(said(diagnosis, level)) for level in ("error", "warning", "note"))
    for words in (
        "raises (acme-raises 1.0) failed to load: importing it raised RuntimeError: half installed",
        "No module named 'module_that_nobody_has'",
        "the kind 'network' is declared by core",
        "netwrk 'x' (acme-stray 1.0) is unavailable",
        "registry.toml:3: No environment named 'growht'",
    ):
        assert words in errors
    for words in (
        "The network 'shared' is provided by acme-one 1.0 and acme-two 1.0; asking for it is an error.",
        "The alias 'shared' of network 'first' (acme-alias 1.0) means nothing",
        "The alias 'nick' is shared by",
        "registry.toml:5: There is no plugin 'obs-v4'. Did you mean 'obs-v3'?",
        "--no-plugin: There is no plugin 'nobody'.",
    ):
        assert words in warnings
    assert "off (acme-off 1.0) is switched off: [plugins] disabled in registry.toml:5." in notes
    lacking = advice(diagnosis, "module_that_nobody_has")
    assert "pip install" not in lacking and "ask the author of acme-lacks what to install" in lacking
    assert "pip uninstall acme-raises" in advice(diagnosis, "half installed")
    levels = [finding.level for finding in diagnosis.findings]
    assert levels == sorted(levels, key=doctor.LEVELS.index), "the worst comes first"


def test_copies_and_code_that_lie_folder(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install("twin", version="1.0", twin=GOOD.format(name="twin"))
    other = tmp_path / "other" / "twin-2.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: Twin\nVersion: 2.0\n")
    monkeypatch.syspath_prepend(str(other.parent))
    install("moved", moved=GOOD.format(name="x"))
    info = tmp_path / "site" / "moved-1.0.dist-info"
    (info / "direct_url.json").write_text('{"url": "file:///somewhere/else", "dir_info": {"editable": true}}')
    warnings = " | ".join(said(diagnose(), "warning"))
    used = tmp_path / "site" / "twin-1.0.dist-info"
    assert f"twin is installed more than once: 1.0 in {used} is used, 2.0 in {other} is not." in warnings
    assert "moved (moved 1.0) is installed in /somewhere/else, but" in warnings and "moved_moved.py is imp" in warnings


def test_the_allow_list_and_a_registry_file_that_cannot_be_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESPER_PLUGINS", "growth,obs-v4")
    (folder / "other.toml").write_text("schema = 1\n[plugin]\n")
    diagnosis = diagnose(registry="other.toml")
    notes, warnings = said(diagnosis, "note"), said(diagnosis, "warning")
    assert "ESPER_PLUGINS='growth,obs-v4' is set: no other plugin is loaded." in notes
    assert "ESPER_PLUGINS: There is no plugin 'obs-v4'. Did you mean 'obs-v3'?" in warnings
    assert any("lstm-v2" in note and "does not name it" in note for note in notes)
    (error,) = said(diagnosis, "error")
    assert "Did you mean 'plugins'?" in error
    assert {r.plugin for r in diagnosis.index.plugins if r.status == "ok"} == {"core", "growth"}


def test_what_cannot_be_examined_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> object:
        raise OSError("the disk is gone")

    monkeypatch.setattr(doctor, "entry_point_sources", gone)
    errors = said(diagnose(), "error")
    assert "The installed plugins cannot be examined: OSError: the disk is gone" in errors
    assert any("so no kind is declared" in error for error in errors)


def test_the_core_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    switches, sources = Switches(no_plugin=("esper.core",)), entry_point_sources()
    with pytest.raises(UserError, match="The core's own plugin cannot be switched off"):
        switches.check(sources)
    assert "The core's own plugin cannot be switched off" in "".join(switches.problems(diagnose().index.plugins))
    with pytest.raises(UserError, match="There is no plugin 'groth'"):
        Switches(no_plugin=("groth",)).check(sources)
