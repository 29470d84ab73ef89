import json

import pytest

from esper_core.contracts.errors import DamagedFile, UserError
from esper_core.registry import sources
from esper_growth.config import GrowthConfig
from esper_growth.engine import compiler
from esper_growth.engine.compiler import Library
from esper_growth.make import growth
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

    return StaticCurves.at({"task": "digits"}, lambda instance: (), train)


def file_of(curves, instance):
    (file,) = curves.cache.folder.rglob(f"{instance}.json")
    return file


def test_missing_curves_are_trained_once(curves, trained):
    assert curves.get([3, 1, 3]) == {1: [0.1, 0.2], 3: pytest.approx([0.3, 0.6])}
    assert curves.get([1, 2])[2] == pytest.approx([0.2, 0.4])
    assert trained == [1, 3, 2]
    content = json.loads(file_of(curves, 3).read_text())
    assert content["instance"] == 3 and {"libraries", "sources", "processor"} < set(content["key"])


def test_another_key_lies_elsewhere(curves, trained, make_context, monkeypatch):
    curves.get([1])
    StaticCurves.at({"task": "other"}, curves.modules, curves.train).get([1])
    assert trained == [1, 1]
    functions, config = compiler.load().functions, GrowthConfig(workers=1, runtime="engine")
    one = growth(config, make_context()).curves.key
    assert one["runtime"] == "engine" and one["kernels"] == compiler.load().digest
    monkeypatch.setattr(compiler, "load", lambda: Library(functions, "otherwise"))
    assert growth(config, make_context()).curves.key == {**one, "kernels": "otherwise"}
    loop = growth(GrowthConfig(workers=1, runtime="loop"), make_context()).curves.key
    assert loop == {**one, "runtime": "loop", "kernels": "torch"}


def test_what_an_instance_is_drawn_from_is_part_of_its_key(curves, trained, tmp_path, monkeypatch):
    """A family may draw from several distributions."""
    monkeypatch.syspath_prepend(str(tmp_path))
    family = StaticCurves.at(curves.key, lambda instance: [f"canary_member_{instance % 2}"], curves.train)
    for texts in (("x = 1", "x = 1"), ("x = 1", "x = 2")):
        for number, text in enumerate(texts):
            (tmp_path / f"canary_member_{number}.py").write_text(text)
        sources.forget()
        family.get([0, 1])
    assert trained == [0, 1, 1]
    sources.forget()


@pytest.mark.parametrize("content", ["{", '{"accuracy": [1, "x"]}'])
def test_a_damaged_file_is_named(curves, content):
    curves.get([4])
    file_of(curves, 4).write_text(content)
    with pytest.raises(DamagedFile, match=r"4\.json(:1)? is damaged") as caught:
        curves.get([4])
    assert "rm " in caught.value.hint


def test_an_unusable_cache_is_named(curves, tmp_path):
    (tmp_path / "static.cache").write_text("")
    with pytest.raises(UserError, match="nothing is kept in it") as caught:
        curves.get([0])
    assert "ESPER_CACHE" in caught.value.hint
