"""What is missing for want of a distribution is named with it, once."""

from __future__ import annotations

import pytest

from esper_core import ComponentSpec
from esper_core.builtin import plugin as core
from esper_core.cli import app
from esper_core.cli.installed import Installed
from esper_core.composition.recipes import Recipes
from esper_core.contracts.errors import UnknownComponent
from esper_core.registry.discovery import Source
from esper_core.registry.first_party import COMMANDS, KINDS, by_kind, is_optional
from esper_core.registry.loading import index_plugins, load_index
from esper_core.registry.resolve import check_kind
from esper_core.system.packages import declarations
from esper_testing.index import index_from_specs

RULES = [ComponentSpec(kind="rule", name=name, factory="a:b") for name in ("calm", "wild")]
ORPHAN = ComponentSpec(kind="gadget", name="lamp", factory="a:b")


def test_the_table_is_what_the_distributions_bring_and_the_core_declares() -> None:
    index = load_index()
    brought = {c.spec.name: c.distribution for c in index.commands if c.distribution in set(COMMANDS.values())}
    within = ("spike ", "league ")  # of groups that one distribution brings
    assert {name: owner for name, owner in brought.items() if not name.startswith(within)} == dict(COMMANDS)
    assert {kind: index.declarer(kind) for kind in KINDS} == dict(KINDS)
    assert {*COMMANDS.values(), *KINDS.values()} <= {name for name, _, _ in declarations("esper-core")}
    assert not any(index.kinds[kind].planned for kind in KINDS), "a kind that may be absent is no part of a plan"


def test_components_of_a_kind_are_said_once_with_what_to_install() -> None:
    index = index_from_specs([*RULES, ORPHAN], distribution="acme", version="1")
    said = {lost.component.kind: (text, is_optional(lost, index)) for text, lost in by_kind(index.unavailable)}
    assert said["rule"] == (
        "rule 'calm', 'wild' (acme 1) are unavailable: the kind 'rule' belongs to esper-evaluation, "
        "which is not installed. pip install esper-evaluation",
        True,
    )
    assert said["gadget"][0].startswith("gadget 'lamp' (acme 1) is unavailable: no plugin") and not said["gadget"][1]
    with pytest.raises(UnknownComponent) as caught:
        check_kind(index, "rule")
    assert "pip install esper-evaluation" in caught.value.hint


def broken() -> object:
    raise ValueError("no luck")


BROKEN = Source("evaluation", "esper-evaluation", "0", "", broken)


@pytest.mark.parametrize(
    ("words", "plugins", "said", "hint"),
    [
        (["evaluate", "x"], [], "'evaluate' belongs to esper-evaluation, which is not installed.", "pip install "),
        (["evaluate"], [BROKEN], "which failed to load: importing it raised ValueError", "plugins doctor"),
        (["runs", "compar"], [], "no command 'runs compar'. Did you mean 'compare'?", "esper runs --help"),
    ],
)
def test_a_command_names_its_distribution(monkeypatch, capsys, words, plugins, said, hint) -> None:
    index = index_plugins([Source("core", "esper-core", "0", "", lambda: core), *plugins])
    monkeypatch.setattr(Installed, "load", lambda self: (index, Recipes()))
    assert app.run(words) == 2
    told = capsys.readouterr().err
    assert said in told and hint in told
