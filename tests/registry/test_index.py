"""Loading: whatever one plugin does, the others work and the index says what happened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from esper_core import ComponentSpec, KindSpec
from esper_core.builtin import plugin as core
from esper_core.contracts.errors import Interruption
from esper_core.registry.index import Index, PluginRecord
from esper_core.registry.loading import load_index
from esper_testing.index import hooks, index_from_plugins

Install = Callable[..., None]

GOOD = """
@hookimpl
def esper_components():
    yield ComponentSpec(kind="network", name="{name}", factory="nowhere:Net")
"""

HOOK = "@hookimpl\ndef esper_components():\n"
YIELD = "    yield ComponentSpec(kind='network', name='x', factory='nowhere:Net'{more})\n"


def record(index: Index, plugin: str) -> PluginRecord:
    (found,) = [r for r in index.plugins if r.plugin == plugin]
    return found


def network(name: str, **more: Any) -> ComponentSpec:
    return ComponentSpec(kind="network", name=name, factory="nowhere:Net", **more)


def kind(name: str) -> KindSpec:
    return KindSpec(name=name, protocol="nowhere:Protocol")


def test_real_entry_points_are_loaded_in_sorted_order(install: Install) -> None:
    install("zebra", zebra=GOOD.format(name="z-net"))
    install("Acme_Nets", version="2.5", b_plugin=GOOD.format(name="b-net"), a_plugin=GOOD.format(name="a-net"))
    index = load_index()
    assert index.plugins[0].plugin == "core"
    rest = [(r.distribution, r.plugin) for r in index.plugins[1:]]
    assert rest == sorted(rest)
    acme = record(index, "a-plugin")
    assert (acme.distribution, acme.version, acme.status) == ("acme-nets", "2.5", "ok")
    assert acme.components == ("network/a-net",) and acme.import_ms > 0 and Path(acme.location).is_dir()
    assert {"a-net", "b-net", "z-net"} <= set(index.names("network"))


BROKEN = [
    ("import module_that_nobody_has", "No module named 'module_that_nobody_has'"),
    ("import sys; sys.exit(3)", "importing it called sys.exit(3)"),
    ("@hookimpl\ndef esper_componets(): return ()", "Did you mean 'esper_components'?"),
    ("@hookimpl\ndef zzz(): return ()", "Hooks are esper_kinds, esper_components, esper_commands."),
    ("def esper_components(): return ()", "esper_components lacks its @hookimpl decorator"),
    ("answer = 42", "it implements no hook"),
    ("@hookimpl(hookwrapper=True)\ndef esper_components(): yield", "hook wrapper"),
    ("@hookimpl\ndef esper_components(): yield 'lstm'", "'lstm', which is not a ComponentSpec"),
    (GOOD.format(name="x") + "    raise OSError('disk')", "esper_components raised OSError: disk"),
    (GOOD.format(name="Not Kebab"), "must be kebab-case"),
    (GOOD.format(name="x") + YIELD.format(more=""), "it registers network 'x' twice"),
    (HOOK + YIELD.format(more=", defaults={1: 2}"), "'defaults' must be <class 'str'>"),
    (HOOK + YIELD.format(more=", reads=(1, 2)"), "reads '1' must be a name"),
    ("@hookimpl\ndef esper_kinds(): yield KindSpec(name='train', protocol='a:b')", "'train' is reserved"),
    ("@hookimpl\ndef esper_kinds(): return [KindSpec(name='g', protocol='a:b')] * 2", "the kind 'g' twice"),
    ("@hookimpl\ndef esper_kinds(): yield KindSpec(name='network', protocol='a:b')", "'network' is declared by core"),
]
"""Code of plugins, and why they fail."""


def test_broken_plugins_are_named_with_their_reasons_and_the_rest_works(install: Install) -> None:
    for number, (code, _) in enumerate(BROKEN):
        install(f"broken-{number:02}", **{f"broken_{number:02}": code})
    install("fine", fine=GOOD.format(name="fine-net"))
    index = load_index()
    for broken, (_, reason) in zip(index.failures, BROKEN, strict=True):
        assert broken.status == "failed" and reason in (broken.error or "")
        assert broken.components == broken.kinds == ()
    assert "fine-net" in index.names("network") and "x" not in index.names("network")
    assert index.kinds["network"].protocol.startswith("esper_core."), "a kind of the core's stays"


def test_a_request_to_stop_is_not_swallowed() -> None:
    def interrupt() -> Any:
        raise Interruption

    with pytest.raises(Interruption):
        index_from_plugins({"slow": hooks(interrupt)})


def test_a_plugin_that_prints_does_not_disturb_standard_output(
    install: Install, capfd: pytest.CaptureFixture[str]
) -> None:
    install("chatty", chatty="print('hello')\n" + GOOD.format(name="x") + "    print('again')\n")
    load_index(only=["chatty"])
    out, err = capfd.readouterr()
    assert out == ""
    assert err.split() == ["hello", "again"]


def test_two_plugins_of_one_name(install: Install) -> None:
    install("first", same_id=GOOD.format(name="shared"))
    install("second", same_id=GOOD.format(name="second-net"))
    install("two", one=GOOD.format(name="shared"), other=GOOD.format(name="shared"))
    index = load_index()
    errors = {(r.distribution, r.plugin): r.error for r in index.failures}
    assert errors == {
        ("second", "same-id"): "the plugin id 'same-id' is already taken by first 1.0",
        ("two", "other"): "network 'shared' is already taken by one (two 1.0)",
    }
    assert [c.distribution for c in index.of_kind("network") if c.name == "shared"] == ["first", "two"]
    assert "second-net" not in index.names("network")


def test_kinds_are_known_before_components_and_go_with_their_plugin() -> None:
    def explode() -> Any:
        raise KeyError("where am I")

    gadget = ComponentSpec(kind="gadget", name="g", factory="a:b")
    index = index_from_plugins({"user": hooks([gadget]), "owner": hooks((), [kind("gadget")])})
    assert [c.key for c in index.components] == ["gadget/g"] and record(index, "owner").kinds == ("gadget",)
    index = index_from_plugins({"user": hooks([gadget]), "owner": hooks(explode, [kind("gadget")])})
    assert "gadget" not in index.kinds and [u.component.name for u in index.unavailable] == ["g"]
    assert "in explode" in record(index, "owner").traceback


@pytest.mark.parametrize("name", ["off", "Acme.Off"])
def test_what_is_switched_off_is_not_imported(install: Install, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    install("acme-off", off="raise RuntimeError('imported')")
    install("one", one=GOOD.format(name="one-net"))
    off = record(load_index(disabled=[name, "core"]), "off")
    assert (off.status, off.error, off.components) == ("disabled", None, ())
    monkeypatch.setenv("ESPER_PLUGINS", " one , nobody")
    index = load_index()
    assert index.names("network") == ("one-net",)
    assert {r.plugin for r in index.plugins if r.status == "ok"} == {"core", "one"}, "core cannot be switched off"
    assert {"features", "network", "critic", "masks", "loss", "environment", "observer"} <= set(index.kinds)
    assert load_index(only=["core"]).names("network") == (), "an argument beats the variable"
    monkeypatch.setenv("ESPER_PLUGINS", "")
    assert load_index().names("network") == ()


def test_metadata_may_be_damaged(install: Install, tmp_path: Path) -> None:
    site = tmp_path / "site"
    for name in ("nameless", "edited", "spoiled", "foreign"):
        install(name, **{name: GOOD.format(name=f"{name}-net")})
    (site / "nameless-1.0.dist-info" / "METADATA").unlink()
    direct = f'{{"url": "{(tmp_path / "my source").as_uri()}", "dir_info": {{"editable": true}}}}'
    (site / "edited-1.0.dist-info" / "direct_url.json").write_text(direct)
    (site / "spoiled-1.0.dist-info" / "entry_points.txt").write_text("[esper.plugins]\nthis is no entry point\n")
    (site / "foreign-1.0.dist-info" / "entry_points.txt").write_text("[other.group]\nthis is no entry point\n")
    index = load_index()
    assert (record(index, "nameless").distribution, record(index, "nameless").version) == ("unknown", "0")
    assert record(index, "edited").location == str(tmp_path / "my source")
    assert {"nameless-net", "edited-net"} <= set(index.names("network"))
    failures = [(r.plugin, (r.error or "").partition(":")[0]) for r in index.failures]
    assert failures == [("spoiled", "its entry_points.txt cannot be read")]
    with pytest.raises(TypeError):
        index.kinds["x"] = kind("x")  # type: ignore[index]


def test_kinds_that_nobody_or_two_declare() -> None:
    gadget = ComponentSpec(kind="gadget", name="g", factory="a:b")
    odd = ComponentSpec(kind="netwrk", name="odd", factory="a:b")
    index = index_from_plugins(
        {
            "core": core,
            "a": hooks([network("a-net")], [kind("gadget")]),
            "b": hooks((), [kind("gadget")]),
            "user": hooks([gadget, odd, network("user-net")]),
        }
    )
    reason = "the kind 'gadget' is declared by a (a 0) and b (b 0)"
    assert [(r.plugin, r.error) for r in index.failures] == [("a", reason), ("b", reason)]
    assert "gadget" not in index.kinds
    lost = {u.component.key: u.reason for u in index.unavailable}
    assert lost.pop("gadget/g") == reason
    assert "declares the kind 'netwrk'. Did you mean 'network'?" in lost["netwrk/odd"]
    assert record(index, "user").components == ("gadget/g", "netwrk/odd", "network/user-net")
    assert index.names("network") == ("user-net",)
