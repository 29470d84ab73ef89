"""Every command in docs/plugins.md works as written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()
COMMANDS = [
    line.partition("#")[0].split()
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


@pytest.mark.parametrize(
    "words",
    [pytest.param(words, id=" ".join(words), marks=[pytest.mark.slow] * ("matrix" in words)) for words in COMMANDS],
)
def test_a_command_of_the_page_works(esper, words):
    variables = dict(word.split("=", 1) for word in words[: words.index("esper")])
    done = esper(*words[words.index("esper") + 1 :], **variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_page_shows_every_command_it_is_about():
    shown = {" ".join(words[words.index("esper") :][1:3]) for words in COMMANDS}
    assert shown >= {"plugins list", "plugins show", "plugins why", "plugins doctor", "matrix --slots"}


def test_the_table_of_the_registry_file_is_real(esper, tmp_path):
    (snippet,) = re.findall(r"^```toml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "registry.toml").write_text(f"schema = 1\n{snippet}")
    assert "is fine" in esper("registry", "check").stdout
