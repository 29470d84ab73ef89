"""Where commands write: in the run and nowhere else, wherever components go, and with a sentence when they cannot."""

from __future__ import annotations

import os
import shutil

import pytest

from esper_testing.distributions import FakeSite
from tests.cli.resuming import SMALL, files_of, only_run

pytest_plugins = ["esper_testing.pytest"]


@pytest.mark.parametrize("name", ["lock", "metrics.jsonl", "events.jsonl", "checkpoints"])
def test_no_link_leads_a_write_out_of_a_run(name, train, finished, tmp_path, capsys):
    outside = tmp_path / "outside"
    shutil.move(finished / name, outside)
    (finished / name).symlink_to(outside)
    before = {path: data for path, data in files_of(tmp_path).items() if path.startswith("outside")}
    assert train("--resume", str(finished), "--at", "3", "--no-tensorboard") in (1, 2)
    assert f"{finished / name}" in (said := capsys.readouterr().err) and "link" in said and "defect" not in said
    assert "Make room" not in said
    assert {path: data for path, data in files_of(tmp_path).items() if path.startswith("outside")} == before


PLUGIN = """
import os
from esper_core import ComponentSpec, hookimpl

if os.environ.get("GO") == "import":
    os.chdir("/")

@hookimpl
def esper_components():
    yield ComponentSpec(kind="loss", name="away", factory="away.loss:Away",
                        config="esper_factored_ppo.config:FactoredPpoConfig", summary="goes away")
"""
LOSS = """
import os
from esper_factored_ppo.loss import FactoredPpo

class Away(FactoredPpo):
    def __init__(self, config, context):
        super().__init__(config, context)
        if os.environ.get("GO") == "build":
            os.chdir("/")
"""


@pytest.mark.parametrize("when", ["import", "build"])
def test_a_component_that_goes_elsewhere_changes_nothing(
    when, train, fake_site: FakeSite, tmp_path, monkeypatch, capsys
):
    fake_site.install("acme-away", {"away": "away.plugin"}, modules={"away.plugin": PLUGIN, "away.loss": LOSS})
    monkeypatch.setenv("GO", when)
    monkeypatch.setenv("ESPER_CACHE", "cache")
    words = ("--policy", "lstm-v2", "--slots", "2", "--loss", "away", *SMALL, "--updates", "2", "--out", "runs")
    assert train(*words) == 0
    folder = only_run(tmp_path / "runs")
    assert f"esper runs show runs/{folder.name}" in capsys.readouterr().out, "as the user wrote it"
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["000001", "000002"]
    assert (tmp_path / "cache" / "static.cache").is_dir()
    os.chdir(tmp_path)
    assert train("--resume", f"runs/{folder.name}", "--updates", "3") == 0
    assert (folder / "checkpoints" / "000003").is_dir()
