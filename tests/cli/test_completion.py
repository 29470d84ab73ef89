"""Completion in the shell: names of what is installed, without torch, and silence where something is broken."""

from __future__ import annotations

import pytest


@pytest.fixture
def complete(esper, without_torch):
    """Return a function from what has been typed to what the shell is offered."""

    def complete(typed: str, **variables: str) -> list[str]:
        words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1)}
        done = esper(path=without_torch, _ESPER_COMPLETE="complete_bash", **words, **variables)
        assert done.stderr == ""
        return done.stdout.split()

    return complete


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("esper train --policy l", ["lstm-v1", "lstm-v2"]),
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
