"""Options: how they are read, checked and listed, and what a wrong one is told."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from esper_core import ComponentSpec
from esper_core.composition.config import (
    NoOptions,
    config_class,
    describe_options,
    parse_option,
    planned_config,
    structure_config,
    unstructure_config,
)
from esper_core.contracts.errors import ConfigError, PluginError
from esper_core.registry.index import Component


def component(config: str = "EveryTypeConfig") -> Component:
    reference = f"toy_world.config:{config}" if config and ":" not in config else config
    spec = ComponentSpec(kind="critic", name="picky", factory="a:b", config=reference)
    return Component(spec, "toy", "toy-world", "1.0")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("network.hidden_dim=256", ("network", None, "hidden_dim", 256)),
        ("train.lr=1e-3", ("train", None, "lr", 0.001)),
        ("blueprint.conv_light.width=8", ("blueprint", "conv-light", "width", 8)),
        ('a.b=""', ("a", None, "b", "")),
        ('a.b=["x", "y"]', ("a", None, "b", ["x", "y"])),
        ("a.b=5#x", ("a", None, "b", "5#x")),
        ("a.b=2026-01-31", ("a", None, "b", "2026-01-31")),
    ],
)
def test_parse(text: str, expected: tuple[Any, ...]) -> None:
    assert parse_option(text) == expected


@pytest.mark.parametrize("text", ["", "x=1", ".x=1", "a..b=1", "a.b", "a.b=", "a.b=[1, 2", "a.b=1\nc=2"])
def test_what_is_no_option(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_option(text)
    assert f"'{text}'" in caught.value.message and caught.value.hint


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("{mode=human}", """Text within it needs quotes, .* for your shell: -o 'a.b={mode = "human"}'"""),
        ("[human]", """Text within it needs quotes, .* for your shell: -o 'a.b=\\["one", "another"\\]'"""),
        ('"human', "ends with it"),
        ("", 'An empty text is ""'),
    ],
)
def test_quotes_that_are_missing_are_asked_for(value: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"a\\.b={re.escape(value)}' is not a TOML value") as caught:
        parse_option(f"a.b={value}")
    assert re.search(hint, caught.value.hint)


def test_defaults_and_types() -> None:
    said = {"whole": 16, "number": 1, "switch": True, "names": ["q"], "maybe": 2, "colour": "blue", "pair": [3, 4]}
    said |= {"folder": "/x", "listed": [1, 2], "evened": 3, "text": "none", "any_whole": 2**63 - 1}
    config = structure_config(component(), said)
    assert (config.whole, config.number, config.switch, config.names, config.mode) == (16, 1.0, True, ("q",), "fast")
    assert (config.maybe, config.colour.value, config.pair, config.folder) == (2.0, "blue", (3, 4.0), Path("/x"))
    assert (config.listed, config.evened, config.text, type(config.number)) == ([1, 2], 4, "none", float)
    assert structure_config(component(), {"maybe": "none"}).maybe is None, "bounds do not concern it"
    assert [structure_config(component(), {"whole": whole}).whole for whole in (1, 64)] == [1, 64], (
        "bounds belong to it"
    )
    plain = unstructure_config(config)
    assert json.loads(json.dumps(plain)) == plain
    assert structure_config(component(), plain) == config


def test_a_component_without_options_and_one_without_defaults() -> None:
    bare = component("")
    assert structure_config(bare, {}) == NoOptions() and unstructure_config(NoOptions()) == {}
    with pytest.raises(ConfigError, match=r"no option 'critic\.x'") as caught:
        structure_config(bare, {"x": 1})
    assert caught.value.hint == "critic 'picky' (toy-world 1.0) has no options."
    with pytest.raises(ConfigError, match=r"needs a value for 'critic\.must'") as caught:
        structure_config(component("NeedyConfig"), {})
    assert caught.value.hint == "a whole number, at least 1"


@pytest.mark.parametrize(
    ("values", "message", "allowed"),
    [
        ({"whole": "8"}, "'critic.whole' cannot be '8': it is a text.", "a whole number, at least 1, at most 64"),
        ({"whole": True}, "'critic.whole' cannot be true: it is true or false.", "a whole number"),
        ({"whole": 0}, "'critic.whole' cannot be 0.", "at least 1, at most 64"),
        ({"whole": 65}, "'critic.whole' cannot be 65.", "at least 1, at most 64"),
        ({"number": float("nan")}, "'critic.number' cannot be nan: it is not finite.", "a number"),
        ({"switch": 1}, "'critic.switch' cannot be 1: it is a whole number.", "true or false"),
        ({"mode": "medium"}, "'critic.mode' cannot be 'medium'.", "'fast' or 'slow'"),
        ({"colour": "green"}, "'critic.colour' cannot be 'green'.", "'red' or 'blue'"),
        ({"names": "abc"}, "'critic.names' cannot be 'abc': it is a text.", "a list of texts"),
        ({"pair": [1]}, "'critic.pair' cannot be [1]: it has 1 entries, not 2.", "a list of whole numbers and numbers"),
        ({"evened": 0}, "'critic.evened' cannot be 0.", "at least 2"),
        (
            {"entire": 1, "x": 1, "nouns": ["a"]},
            "'critic.entire' is called 'critic.whole' now. 'critic.nouns' is called 'critic.names' now.",
            "Write critic.whole and critic.names.",
        ),
        ({"whol": 1}, "There is no option 'critic.whol'. Did you mean 'whole'?", "whole, number, switch"),
        ({"whole": 13, "switch": True}, "do not fit together: 13 does not go with a switch.", ""),
    ],
)
def test_a_wrong_value_names_key_value_and_what_is_allowed(values: dict[str, Any], message: str, allowed: str) -> None:
    with pytest.raises(ConfigError) as caught:
        structure_config(component(), values)
    assert message in caught.value.message
    assert allowed in caught.value.hint


@pytest.mark.parametrize("value", ["-0.0", "[inf, {a = nan}]", "9223372036854775808"])
def test_a_plan_keeps_numbers_that_json_lacks(value: str) -> None:
    said = parse_option(f"critic.table={{limit = {value}}}").value
    config = structure_config(component(), {"table": said})
    assert repr(planned_config(component(), config)["table"]) == repr(said)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("GrowingConfig", "'critic.grown': it is another value after it was read back"),
        ("EndlessConfig", "'critic.bound' cannot be inf"),
        ("ObjectConfig", "'critic.thing' cannot be kept in a plan: it is a object"),
    ],
)
def test_a_config_that_does_not_come_back_is_its_plugins_fault(config: str, words: str) -> None:
    made = structure_config(component(config), {})
    with pytest.raises(PluginError, match=r"critic 'picky' \(toy-world 1\.0\) breaks its contract") as caught:
        planned_config(component(config), made)
    assert words in caught.value.message
    if config == "ObjectConfig":
        with pytest.raises(PluginError, match="default of the option 'thing' cannot be kept"):
            describe_options(config_class(component(config)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"critic.whole=0x{'f' * 5000}", "a number of 20000 bits"),
        ("critic.table={at = 2026-01-31}", "write it as a text, in quotes"),
        ("critic.any_whole=9223372036854775808", "it has more than 64 bits"),
        ("critic.number=1e308", "'critic.number' cannot be 1e+308: no float32 is as large"),
        (f"critic.number=1{'0' * 400}", "an integer of more than 300 digits"),
        (f"critic.names={'[' * 2000}{']' * 2000}", "within one another"),
        (f"critic.table={'{a=' * 120}1{'}' * 120}", "within one another"),
    ],
)
def test_values_beyond_all_measure_are_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        structure_config(component(), {(option := parse_option(text)).key: option.value})
    assert words in caught.value.message


def test_rows_of_a_listing() -> None:
    rows = {row.key: row for row in describe_options(config_class(component()))}
    allowed = "a whole number, at least 1, at most 64"
    assert tuple(rows["whole"]) == ("whole", 8, "More is more.", allowed)
    assert (rows["mode"].allowed, rows["letter"].allowed) == ("'fast' or 'slow'", "'x' or 'y'")
    assert rows["maybe"].allowed == "a number or none, at least 0"
    assert (rows["listed"].default, rows["maybe"].default, rows["colour"].default) == ([], None, "red")
    assert list(rows)[:2] == ["whole", "number"]
    assert describe_options(config_class(component("NeedyConfig")))[0].default is None
    assert describe_options(NoOptions) == ()


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nobody_has_this.config:Config", "there is no module 'nobody_has_this'"),
        ("toy_world.needs_missing:Config", "needs the module 'module_that_nobody_has', which is missing"),
        ("toy_world.importing_bug:Config", "raised RuntimeError: import went wrong"),
        ("toy_world.config:Path", "is not an attrs class"),
    ],
)
def test_a_config_that_cannot_be_used_names_its_component(reference: str, message: str) -> None:
    with pytest.raises(PluginError, match=r"^critic 'picky' \(toy-world 1\.0\) .*" + message):
        structure_config(component(reference), {})
