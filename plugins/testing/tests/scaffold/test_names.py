"""A name is kebab-case, says what it means, and belongs to nobody yet."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from esper_core import ComponentSpec, KindSpec
from esper_core.composition.recipes import Recipe, Recipes
from esper_core.contracts.errors import UserError
from esper_testing.index import index_from_specs
from esper_testing.scaffold.names import PLACEHOLDERS, PluginName, check_free, parse_name


@pytest.mark.parametrize(
    ("kebab", "module", "class_name"),
    [("my-net", "my_net", "MyNet"), ("gru", "gru", "Gru"), ("lstm-v2", "lstm_v2", "LstmV2"), ("a-1", "a_1", "A1")],
)
def test_three_spellings(kebab: str, module: str, class_name: str) -> None:
    name = parse_name(kebab)
    assert (name.kebab, name.module, name.class_name) == (kebab, module, class_name)


@pytest.mark.parametrize(
    ("text", "near"),
    [("LSTMNet", "lstm-net"), ("my--net", "my-net"), ("-My Net-", "my-net"), ("3d-net", "d-net"), ("réseau", "r-seau")],
)
def test_what_is_not_kebab_case_is_refused_with_a_suggestion_that_is(text: str, near: str) -> None:
    with pytest.raises(UserError, match=f"Did you mean '{near}'"):
        parse_name(text)
    assert parse_name(near).kebab == near


@pytest.mark.parametrize("text", ["", "42", "…", "None", "ValueError", "List"])
def test_nothing_is_suggested_for_what_holds_no_word_or_would_be_refused(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_name(text)
    assert "Did you mean" not in caught.value.message and "kebab-case" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *((name, "") for name in (*PLACEHOLDERS, "tests", "conftest")),
        *((word, f"'{word}'") for word in ("class", "match", "list")),
        ("none", "'None'"),
        ("value-error", "'ValueError'"),
    ],
)
def test_placeholders_folders_and_words_of_python_are_refused_in_every_spelling(text: str, reason: str) -> None:
    with pytest.raises(UserError, match=f"cannot be called '{text}'.*{reason}"):
        parse_name(text)


KINDS = tuple(KindSpec(name=kind, protocol="a:B") for kind in ("network", "critic"))
SPEC = ComponentSpec(kind="network", name="fine-net", factory="a:b", aliases=("Fine_Old",))
INDEX = index_from_specs((SPEC,), KINDS, plugin="net-plugin", distribution="net-dist")


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("fine-net", "network", "there is the network 'fine-net'"),
        ("fine-old", "network", "there is the network 'fine-net'"),
        ("net-plugin", "critic", "the plugin 'net-plugin'"),
        ("mine", "network", "registry.toml has a recipe"),
        ("torch", "critic", "`import torch`"),
        ("pytest-xdist", "critic", "the distribution 'pytest-xdist'"),
    ],
)
def test_what_somebody_has_already_is_refused(name: str, kind: str, reason: str) -> None:
    recipes = evolve(Recipes(), policies={"mine": Recipe("mine")})
    with pytest.raises(UserError) as caught:
        check_free(PluginName(name), kind, INDEX, recipes)
    assert reason in caught.value.message


def test_a_folder_on_the_path_is_a_module_when_it_belongs_to_a_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new_net").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    check_free(PluginName("new-net"), "network", INDEX, Recipes())
    info = tmp_path / "somebodys-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys\nVersion: 1.0\n")
    (info / "top_level.txt").write_text("new_net\n")
    with pytest.raises(UserError, match="`import new_net`"):
        check_free(PluginName("new-net"), "network", INDEX, Recipes())
