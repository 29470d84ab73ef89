"""Completion in the shell: names of what is installed, without torch, and silence where something is broken."""

from __future__ import annotations

import pytest


@pytest.fixture
def complete(esper):
    """Return a function from what has been typed to what the shell is offered."""

    def complete(typed: str, run=esper, **options) -> list[str]:
        words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1)}
        done = run(_ESPER_COMPLETE="complete_bash", **words, **options)
        assert done.stderr == ""
        return done.stdout.split()

    return complete


def test_torch_is_not_needed(complete, process, without_torch):
    assert complete("esper train --policy l", process, path=without_torch) == ["lstm-slots", "lstm-v1", "lstm-v2"]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("esper train --critic s", ["state-value"]),
        ("esper spike run ", ["dynamic-slots", "ppo-probes"]),
        ("esper plugins check obs", ["obs-v3"]),
        ("esper plugins new my-net --kind net", ["network"]),
        ("esper bench --workload conv", ["conv-small"]),
        ("esper policy show lstm-v3", []),
    ],
)
def test_names_are_completed(complete, typed, offered):
    assert complete(typed) == offered


def test_a_broken_registry_file_completes_nothing(complete, tmp_path):
    (tmp_path / "broken.toml").write_text("][")
    assert complete("esper train --policy l", ESPER_REGISTRY=str(tmp_path / "broken.toml")) == []
