"""`esper plugins show`, `why` and `doctor` as users run them."""

from __future__ import annotations

import json

BROKEN = """
from esper_core import ComponentSpec, KindSpec, hookimpl
@hookimpl
def esper_kinds():
    yield KindSpec(name="gear", protocol="a:b", summary="gears")
@hookimpl
def esper_components():
    yield ComponentSpec(kind="network", name="lstm-v2", factory="acme_second:Net", config="acme_missing:Config",
                        aliases=("big",), provides=("network:op-logits",), requires=("critic:q",), reads=("stage",))
    yield ComponentSpec(kind="netwrk", name="lost", factory="a:b")
"""


def test_show_says_everything_a_plugin_declares(esper):
    shown = json.loads(esper("plugins", "show", "lstm-v2", "--json").stdout)
    assert (shown["hooks"], shown["heavy"], shown["error"]) == (["esper_components"], [], None)
    assert shown["file"].endswith("plugin.py") and shown["import_ms"] > 0 and isinstance(shown["editable"], bool)
    first = shown["details"][0]
    assert first["options"]["hidden_dim"]["default"] == 512 and first["options"]["hidden_dim"]["help"]
    assert first["defaults"]["critic"] == "op-conditioned-critic" and first["provides"] == ["network:op-logits"]
    text = esper("plugins", "show", "lstm-v2").stdout
    for words in ("esper_lstm_v2.network:LstmNetwork", "hidden_dim", "hooks", "network:op-logits", "folder"):
        assert words in text


def test_show_works_for_what_is_half_broken(esper, install):
    site = install("acme-second", BROKEN)
    shown = json.loads(esper("plugins", "show", "acme-second", "--json", path=site).stdout)
    (details,) = shown["details"]
    assert details["options"] is None and "acme_missing" in details["problem"]
    assert "Did you mean 'network'?" in shown["unavailable"][0]["reason"]
    text = esper("plugins", "show", "acme-second", path=site).stdout
    said = ("kinds      gear", "aliases    big", "requires   critic:q", "reads      stage", "options    unknown")
    for words in (*said, "hooks      esper_kinds, esper_components", "netwrk lost cannot be used"):
        assert words in text
    install("acme-raises", "raise RuntimeError('half installed')")
    text = esper("plugins", "show", "acme-raises", path=site).stdout
    assert "failed     importing it raised RuntimeError: half installed" in text


def test_why_for_people_and_machines(esper):
    text = esper("plugins", "why", "network/LSTM_V2").stdout
    assert text.startswith("network/LSTM_V2 is network 'lstm-v2' (esper-lstm-v2 ")
    assert "what would change this" in text and "With --no-plugin lstm-v2: an error." in text
    told = json.loads(esper("plugins", "why", "network/lstm-v2", "--json").stdout)
    (candidate,) = told["candidates"]
    assert (told["winner"]["distribution"], told["pin"]) == ("esper-lstm-v2", None) and candidate["location"]


def test_why_of_an_unknown_name(esper, install):
    site = install("acme-raises", "raise RuntimeError('half installed')")
    done = esper("plugins", "why", "network/lstm-v3", "--no-plugin", "obs-v3", "--json", path=site)
    assert (done.returncode, done.stdout) == (2, "")
    for words in ("Did you mean 'lstm-v2'?", "half installed", "switched off: --no-plugin obs-v3"):
        assert words in done.stderr


def test_doctor_works_when_everything_else_refuses_to(esper, install, tmp_path):
    install("acme-exits", "import sys; sys.exit(3)")
    site = install("acme-second", BROKEN)
    (tmp_path / "registry.toml").write_text("schema = 1\n[defaults\n")
    flags = ("--no-plugin", "nobody")
    assert esper("plugins", "list", *flags, path=site).returncode == 2
    done = esper("plugins", "doctor", *flags, path=site, ESPER_PLUGINS="acme-exits,acme-second,growht")
    assert done.returncode == 0 and done.stderr == ""
    found = (
        "registry.toml:2:",
        "called sys.exit(3)",
        "--no-plugin: There is no plugin 'nobody'",
        "Did you mean 'growth'?",
        "netwrk 'lost'",
    )
    for words in ("sys.prefix", "ESPER_PLUGINS=", *found):
        assert words in done.stdout


def test_doctor_for_machines(esper, install):
    site = install("acme-exits", "import sys; sys.exit(3)")
    told = json.loads(esper("plugins", "doctor", "--json", "--registry", "missing.toml", path=site).stdout)
    assert (told["healthy"], told["registry"], set(told["python"])) == (
        False,
        None,
        {"version", "executable", "prefix"},
    )
    assert any(finding["level"] == "error" and "missing.toml" in finding["message"] for finding in told["findings"])
    (broken,) = [plugin for plugin in told["plugins"] if plugin["plugin"] == "acme-exits"]
    assert broken["status"] == "failed" and broken["location"] == str(site)
    assert json.loads(esper("plugins", "doctor", "--json").stdout)["healthy"] is True


def test_doctor_names_plugins_that_slow_every_command(process, install):
    heavy = "import sys, time, types; time.sleep(0.05); sys.modules.setdefault('sklearn', types.ModuleType('sklearn'))"
    site = install("acme-heavy", heavy)
    done = process("plugins", "doctor", path=site)
    assert "warning: acme-heavy (acme-heavy 1.0) imports sklearn when it is listed, which slows every" in done.stdout
