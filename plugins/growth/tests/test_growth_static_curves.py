import json
import os

import pytest

from esper_core.contracts.errors import UserError
from esper_growth.static_curves import StaticCurves


@pytest.fixture
def trained():
    return []


@pytest.fixture
def curves(tmp_path, monkeypatch, trained):
    monkeypatch.setenv("ESPER_CACHE", str(tmp_path))

    def train(instances):
        trained.extend(instances)
        return [[0.1 * i, 0.2 * i] for i in instances]

    return StaticCurves.at({"task": "digits"}, train)


def test_missing_curves_are_trained_once(curves, trained):
    assert curves.get([3, 1, 3]) == {1: [0.1, 0.2], 3: pytest.approx([0.3, 0.6])}
    assert curves.get([1, 2])[2] == pytest.approx([0.2, 0.4])
    assert trained == [1, 3, 2]


def test_another_key_lies_elsewhere(curves, trained):
    curves.get([1])
    other = StaticCurves.at({"task": "other"}, curves.train)
    assert other.directory != curves.directory
    other.get([1])
    assert trained == [1, 1]


def test_the_file_says_what_it_is(curves):
    curves.get([4])
    content = json.loads((curves.directory / "4.json").read_text())
    assert content["instance"] == 4 and content["key"]["task"] == "digits" and "torch" in content["key"]
    assert [p.name for p in curves.directory.iterdir()] == ["4.json"], "no temporary file stays behind"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"accuracy": "x"}', '{"accuracy": [1, "x"]}'])
def test_a_damaged_file_is_named(curves, content):
    curves.get([4])
    (curves.directory / "4.json").write_text(content)
    with pytest.raises(UserError, match=r"4\.json is damaged") as caught:
        curves.get([4])
    assert "rm " in caught.value.hint


def test_an_unusable_cache_is_named(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("ESPER_CACHE", str(file))
    with pytest.raises(UserError, match="cannot be kept in") as caught:
        StaticCurves.at({}, lambda instances: [[0.0] for _ in instances]).get([0])
    assert "ESPER_CACHE" in caught.value.hint


def test_a_crash_while_writing_leaves_no_curve(curves, monkeypatch):
    monkeypatch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UserError, match="No space left on device"):
        curves.get([1])
    assert not (curves.directory / "1.json").exists()
