"""Loading: whatever one plugin does, the others work and the index says what happened."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from esper_core import ComponentSpec, KindSpec, hookimpl
from esper_core.builtin import plugin as core
from esper_core.contracts.errors import Interruption
from esper_core.registry.index import Index, PluginRecord
from esper_core.registry.loading import index_from_plugins, index_from_specs, load_index

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


def hooks(components: Any = (), kinds: Any = ()) -> SimpleNamespace:
    """A plugin object whose hooks return what is given, or call it."""

    @hookimpl
    def esper_components() -> Any:
        return components() if callable(components) else components

    @hookimpl
    def esper_kinds() -> Any:
        return kinds() if callable(kinds) else kinds

    return SimpleNamespace(esper_components=esper_components, esper_kinds=esper_kinds)


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
    assert acme.components == ("network/a-net",)
    assert acme.error is None
    assert acme.import_ms > 0
    assert Path(acme.location).is_dir()
    assert {"a-net", "b-net", "z-net"} <= set(index.names("network"))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise RuntimeError('no luck')", "importing it raised RuntimeError: no luck"),
        ("import module_that_nobody_has", "No module named 'module_that_nobody_has'"),
        ("import sys; sys.exit(3)", "importing it called sys.exit(3)"),
        ("raise BaseException('panicked')", "importing it raised BaseException: panicked"),
        ("def broken(:", "SyntaxError"),
        ("@hookimpl\ndef esper_componets(): return ()", "Did you mean 'esper_components'?"),
        ("@hookimpl\ndef zzz(): return ()", "Hooks are esper_kinds, esper_components, esper_commands."),
        ("@hookimpl\ndef esper_components(slots): return ()", "slots"),
        ("def esper_components(): return ()", "esper_components lacks its @hookimpl decorator"),
        ("answer = 42", "it implements no hook"),
        ("@hookimpl(hookwrapper=True)\ndef esper_components(): yield", "hook wrapper"),
        ("@hookimpl\ndef esper_components(): return None", "esper_components returned None"),
        ("@hookimpl\ndef esper_components(): return 7", "esper_components returned 7"),
        ("@hookimpl\ndef esper_components(): yield 'lstm'", "'lstm', which is no ComponentSpec"),
        ("@hookimpl\ndef esper_components(): yield None", "None, which is no ComponentSpec"),
        ("@hookimpl\ndef esper_kinds(): yield 'kind'", "'kind', which is no KindSpec"),
        ("@hookimpl\ndef esper_components():\n    yield\n    raise OSError('disk')", "None, which is no ComponentSpec"),
        (GOOD.format(name="x") + "    raise OSError('disk')", "esper_components raised OSError: disk"),
        (GOOD.format(name="x") + "    raise SystemExit(1)", "esper_components called sys.exit(1)"),
        (GOOD.format(name="Not Kebab"), "must be kebab-case"),
        (GOOD.format(name="x").replace("nowhere:Net", "nowhere"), "must read 'package.module:attribute'"),
        (GOOD.format(name="x") + YIELD.format(more=""), "it registers network 'x' twice"),
        (HOOK + YIELD.format(more=", defaults={1: 2}"), "network 'x': defaults must map a kind to a name"),
        (HOOK + YIELD.format(more=", defaults=['critic']"), "network 'x': defaults must map a kind to a name"),
        (HOOK + YIELD.format(more=", reads=(1, 2)"), "network 'x': reads must be a tuple of names, not (1, 2)"),
        ("@hookimpl\ndef esper_kinds(): yield KindSpec(name='train', protocol='a:b')", "'train' is reserved"),
    ],
)
def test_a_broken_plugin_is_named_with_its_reason_and_the_rest_works(install: Install, code: str, reason: str) -> None:
    install("aaa-broken", aaa_broken=code)
    install("fine", fine=GOOD.format(name="fine-net"))
    index = load_index()
    broken = record(index, "aaa-broken")
    assert broken.status == "failed"
    assert reason in (broken.error or "")
    assert broken.components == () and broken.kinds == ()
    assert index.failures == (broken,)
    assert "fine-net" in index.names("network")
    assert "x" not in index.names("network")


def test_a_failure_keeps_its_traceback() -> None:
    def explode() -> Any:
        raise KeyError("where am I")

    index = index_from_plugins({"bad": hooks(explode)})
    assert "in explode" in index.plugins[0].traceback


def test_a_request_to_stop_is_not_swallowed() -> None:
    def interrupt() -> Any:
        raise Interruption

    with pytest.raises(Interruption):
        index_from_plugins({"slow": hooks(interrupt)})


def test_the_later_of_two_plugins_with_one_id_fails(install: Install) -> None:
    install("first", same_id=GOOD.format(name="first-net"))
    install("second", same_id=GOOD.format(name="second-net"))
    index = load_index()
    states = {r.distribution: (r.status, r.error) for r in index.plugins if r.plugin == "same-id"}
    assert states["first"] == ("ok", None)
    assert states["second"] == ("failed", "the plugin id 'same-id' is already taken by first 1.0")
    assert "second-net" not in index.names("network")


def test_two_distributions_may_provide_one_name(install: Install) -> None:
    install("one", one=GOOD.format(name="shared"))
    install("two", two=GOOD.format(name="shared"))
    index = load_index()
    assert [c.distribution for c in index.of_kind("network") if c.name == "shared"] == ["one", "two"]
    assert not index.failures


def test_two_plugins_of_one_distribution_may_not(install: Install) -> None:
    install("one", first=GOOD.format(name="shared"), second=GOOD.format(name="shared"))
    index = load_index()
    assert record(index, "first").status == "ok"
    assert "network 'shared' is already taken by first (one 1.0)" in (record(index, "second").error or "")


def test_kinds_are_known_before_components_whatever_the_order() -> None:
    gadget = ComponentSpec(kind="gadget", name="g", factory="a:b")
    index = index_from_plugins({"user": hooks([gadget]), "owner": hooks((), [kind("gadget")])})
    assert [c.key for c in index.components] == ["gadget/g"]
    assert record(index, "owner").kinds == ("gadget",)


def test_a_component_of_an_undeclared_kind_is_unavailable_and_the_rest_of_its_plugin_loads() -> None:
    odd = ComponentSpec(kind="netwrk", name="odd", factory="a:b")
    index = index_from_plugins({"core": core, "p": hooks([odd, network("even")])})
    assert record(index, "p").status == "ok"
    assert record(index, "p").components == ("netwrk/odd", "network/even")
    (lost,) = index.unavailable
    assert lost.component.key == "netwrk/odd"
    assert "declares the kind 'netwrk'. Did you mean 'network'?" in lost.reason
    assert index.names("network") == ("even",)


def test_two_plugins_declaring_one_kind_both_fail_and_its_components_are_unavailable() -> None:
    gadget = ComponentSpec(kind="gadget", name="g", factory="a:b")
    index = index_from_plugins(
        {
            "core": core,
            "a": hooks([network("a-net")], [kind("gadget")]),
            "b": hooks((), [kind("gadget")]),
            "user": hooks([gadget, network("user-net")]),
        }
    )
    reason = "the kind 'gadget' is declared by a (a 0) and b (b 0)"
    assert [(r.plugin, r.error) for r in index.failures] == [("a", reason), ("b", reason)]
    assert "gadget" not in index.kinds
    assert [(u.component.name, u.reason) for u in index.unavailable] == [("g", reason)]
    assert index.names("network") == ("user-net",)


def test_a_plugin_that_claims_a_kind_of_core_fails_alone(install: Install) -> None:
    code = "@hookimpl\ndef esper_kinds(): yield KindSpec(name='network', protocol='a:b')"
    install("grabber", grabber=code)
    index = load_index()
    assert record(index, "core").status == "ok"
    assert "the kind 'network' is declared by core" in (record(index, "grabber").error or "")
    assert index.kinds["network"].protocol.startswith("esper_core.")


def test_a_kind_declared_twice_by_one_plugin_fails_it() -> None:
    index = index_from_plugins({"p": hooks((), [kind("gadget"), kind("gadget")])})
    assert index.plugins[0].error == "it registers the kind 'gadget' twice"


def test_a_plugin_whose_components_fail_loses_its_kinds_too() -> None:
    gadget = ComponentSpec(kind="gadget", name="g", factory="a:b")
    index = index_from_plugins({"owner": hooks(None, [kind("gadget")]), "user": hooks([gadget])})
    assert "gadget" not in index.kinds
    assert [u.component.name for u in index.unavailable] == ["g"]


@pytest.mark.parametrize("name", ["off", "acme_off", "Acme.Off", "acme-off"])
def test_disabled_plugins_are_not_imported_by_id_or_distribution(install: Install, name: str) -> None:
    install("acme-off", off="raise RuntimeError('imported')")
    off = record(load_index(disabled=[name]), "off")
    assert (off.status, off.error, off.components) == ("disabled", None, ())


def test_the_allow_list_of_the_environment_variable(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("one", one=GOOD.format(name="one-net"))
    install("two", two=GOOD.format(name="two-net"))
    monkeypatch.setenv("ESPER_PLUGINS", " two , nobody")
    index = load_index()
    assert index.names("network") == ("two-net",)
    assert {r.plugin for r in index.plugins if r.status == "ok"} == {"core", "two"}
    assert load_index(only=["one"]).names("network") == ("one-net",), "an argument beats the variable"
    monkeypatch.setenv("ESPER_PLUGINS", "")
    assert load_index().names("network") == ()


def test_core_declares_the_kinds_and_cannot_be_switched_off(install: Install) -> None:
    index = load_index(disabled=["core"], only=[])
    assert record(index, "core").status == "ok"
    assert {"features", "network", "critic", "masks", "loss", "environment", "observer"} <= set(index.kinds)


def test_a_plugin_that_prints_does_not_disturb_standard_output(
    install: Install, capfd: pytest.CaptureFixture[str]
) -> None:
    install("chatty", chatty="print('hello')\n" + GOOD.format(name="x") + "    print('again')\n")
    load_index(only=["chatty"])
    out, err = capfd.readouterr()
    assert out == ""
    assert err.split() == ["hello", "again"]


def test_heavy_imports_are_named_and_timed(install: Install, tmp_path: Path) -> None:
    install("heavy", heavy="import torch, time; time.sleep(0.05)\n" + GOOD.format(name="x"))
    install("light", light=GOOD.format(name="y"))
    fake = tmp_path / "site" / "torch.py"
    fake.write_text("")
    code = (
        f"import sys; sys.path.insert(0, {str(fake.parent)!r})\n"
        "from esper_core.registry.loading import load_index\n"
        "for r in load_index(only=['heavy', 'light']).plugins:\n"
        "    if r.plugin in ('heavy', 'light'): print(r.plugin, ','.join(r.heavy) or '-', r.import_ms >= 50)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["heavy torch True", "light - False"]


def test_a_duplicate_distribution_counts_once(install: Install) -> None:
    install("twin", version="1.0", twin=GOOD.format(name="x"))
    install("twin", version="2.0", twin=GOOD.format(name="x"))
    assert len([r for r in load_index().plugins if r.plugin == "twin"]) == 1


@pytest.mark.parametrize(
    ("points", "listed"),
    [("[esper.plugins]\nthis is no entry point\n", True), ("[other.group]\nthis is no entry point\n", False)],
)
def test_an_unreadable_entry_points_file_spoils_only_its_own_distribution(
    install: Install, tmp_path: Path, points: str, listed: bool
) -> None:
    install("spoiled")
    install("fine", fine=GOOD.format(name="fine-net"))
    (tmp_path / "site" / "spoiled-1.0.dist-info" / "entry_points.txt").write_text(points)
    index = load_index()
    assert "fine-net" in index.names("network")
    assert record(index, "core").status == "ok"
    failures = [(r.plugin, (r.error or "").partition(":")[0]) for r in index.failures]
    assert failures == ([("spoiled", "its entry_points.txt cannot be read")] if listed else [])


def test_a_distribution_without_metadata_loads_without_a_name(install: Install, tmp_path: Path) -> None:
    install("nameless", nameless=GOOD.format(name="nameless-net"))
    (tmp_path / "site" / "nameless-1.0.dist-info" / "METADATA").unlink()
    index = load_index()
    assert (record(index, "nameless").distribution, record(index, "nameless").version) == ("unknown", "0")
    assert "nameless-net" in index.names("network")


def test_an_entry_point_to_a_missing_attribute_fails_alone(install: Install, tmp_path: Path) -> None:
    install("astray", astray=GOOD.format(name="x"))
    points = tmp_path / "site" / "astray-1.0.dist-info" / "entry_points.txt"
    points.write_text("[esper.plugins]\nastray = astray_astray:nothing\n")
    assert "has no attribute 'nothing'" in (record(load_index(), "astray").error or "")


def test_an_editable_installation_names_its_source_folder(install: Install, tmp_path: Path) -> None:
    install("edited", edited=GOOD.format(name="x"))
    source = tmp_path / "my source"
    info = next((tmp_path / "site").glob("edited-*.dist-info"))
    (info / "direct_url.json").write_text(f'{{"url": "{source.as_uri()}", "dir_info": {{"editable": true}}}}')
    assert record(load_index(), "edited").location == str(source)


def test_an_index_from_specs_needs_no_plugin() -> None:
    index = index_from_specs([network("a"), network("b", summary="two")], [kind("network")], distribution="d")
    assert index.names("network") == ("a", "b")
    assert str(index.components[1]) == "network 'b' (d 0)"


def test_the_index_is_immutable() -> None:
    index = index_from_specs((), [kind("network")])
    with pytest.raises(TypeError):
        index.kinds["x"] = kind("x")  # type: ignore[index]
    with pytest.raises(AttributeError):
        index.components = ()  # type: ignore[misc]


@pytest.mark.parametrize("unit", ["function", "class instance"])
def test_a_plugin_may_be_any_object_with_hooks(unit: str) -> None:
    class Plugin:
        @hookimpl
        def esper_components(self) -> list[ComponentSpec]:
            return [network("from-object")]

    plugin: object = Plugin() if unit == "class instance" else hooks([network("from-object")])
    assert index_from_plugins({"core": core, "p": plugin}).names("network") == ("from-object",)
