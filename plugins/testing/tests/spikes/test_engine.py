"""The engine runs test modules in isolation and counts what came of them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from esper_core.contracts.errors import EsperError, Interruption
from esper_testing.spikes.engine import Report, run_checks
from esper_testing.spikes.verdict import CheckResult


def counts(report: Report) -> dict[str, tuple[int, int, int, int]]:
    return {c.name: (c.declared, c.passed, c.failed, c.skipped) for c in report.categories}


@pytest.fixture
def module(tmp_path: Path):
    made = []

    def make(code: str) -> Path:
        # Modules stay imported, so every test needs names of its own.
        made.append(tmp_path / f"test_{tmp_path.name.replace('-', '_')}_{len(made)}.py")
        made[-1].write_text(dedent(code))
        return made[-1]

    return make


def test_outcomes_are_counted_by_category(module, capsys: pytest.CaptureFixture[str]) -> None:
    first = module(
        """
        import pytest
        CATEGORY = "first"
        @pytest.mark.parametrize("num_slots", [2, 5])
        def test_small(num_slots, record_property):
            print("noise")
            record_property("square", num_slots ** 2)
            assert num_slots < 3, "too many slots"
        def test_skipped():
            pytest.skip("not here")
        @pytest.mark.xfail(reason="known to be wrong")
        def test_expected():
            assert False
        """
    )
    second = module("CATEGORY = 'second'\ndef test_fine(): pass")
    seen: list[CheckResult] = []
    report = run_checks([first, second], {"second": 1, "first": 5, "third": 2}, on_result=seen.append)

    assert counts(report) == {"second": (1, 1, 0, 0), "first": (5, 1, 1, 2), "third": (2, 0, 0, 0)}
    assert list(counts(report)) == ["second", "first", "third"]
    (failure,) = report.failures
    assert (failure.category, failure.check, failure.slots) == ("first", "test_small[5]", 5)
    assert failure.message.startswith("too many slots") and failure.params == {"num_slots": 5}
    assert (failure.file, failure.line) == (str(first), 8)
    assert [(m.category, m.name, m.value, m.params) for m in report.measurements] == [
        ("first", "square", 4, {"num_slots": 2}),
        ("first", "square", 25, {"num_slots": 5}),
    ]
    assert [(skip.check, skip.reason) for skip in report.skips] == [
        ("test_skipped", "not here"),
        ("test_expected", "known to be wrong"),
    ]
    assert [result.outcome for result in seen] == ["passed", "failed", "skipped", "skipped", "passed"]
    output = capsys.readouterr()
    assert output.out == "" and "noise" in output.err


def test_the_place_of_a_failure_is_the_deepest_code_that_is_no_library(module, tmp_path, monkeypatch) -> None:
    helper = tmp_path / "helper_of_growth.py"
    helper.write_text(
        "import torch\n"
        "def grow(n):\n"
        "    try:\n"
        "        return torch.zeros(3) + torch.zeros(n)\n"
        "    except RuntimeError as error:\n"
        "        raise ValueError('cannot grow') from error\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    path = module("import helper_of_growth\nCATEGORY = 'growth'\ndef test_grow(): helper_of_growth.grow(5)")
    (failure,) = run_checks([path], {"growth": 1}).failures
    assert failure.message == "ValueError: cannot grow"
    assert (failure.file, failure.line) == (str(helper), 4)
    assert [(Path(place.file).name, place.line) for place in failure.trace] == [("helper_of_growth.py", 4)]
    assert failure.trace[0].text == "return torch.zeros(3) + torch.zeros(n)"


def test_broken_fixtures_are_failures(module) -> None:
    path = module(
        """
        import pytest
        CATEGORY = "c"
        @pytest.fixture
        def thing():
            yield 1; raise OSError('gone')
        def test_thing(thing): pass
        """
    )
    report = run_checks([path], {"c": 1})
    assert report.categories[0].failed == 1
    assert "gone" in report.failures[0].message


def test_a_module_that_cannot_be_imported_fails_and_the_others_run(module) -> None:
    broken = module("import nothing_of_this_name")
    fine = module("CATEGORY = 'fine'\ndef test_it(): pass")
    report = run_checks([broken, fine], {"fine": 1, "broken": 3})
    assert counts(report) == {"fine": (1, 1, 0, 0), "broken": (3, 0, 0, 0), broken.stem: (0, 0, 1, 0)}
    assert "nothing_of_this_name" in report.failures[0].message


def test_the_settings_around_it_do_not_matter(module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "conftest.py").write_text("raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    path = module("CATEGORY = 'c'\ndef test_it(): pass")
    assert counts(run_checks([path], {"c": 1})) == {"c": (1, 1, 0, 0)}


def test_interrupting_stops_everything(module) -> None:
    path = module(
        "from esper_core.contracts.errors import Interruption\nCATEGORY = 'c'\ndef test_it(): raise Interruption"
    )
    with pytest.raises(Interruption):
        run_checks([path], {"c": 1})


def test_a_plugin_that_breaks_pytest_is_an_error(module) -> None:
    class Breaker:
        def pytest_collection_modifyitems(self) -> None:
            raise RuntimeError("no more")

    path = module("CATEGORY = 'c'\ndef test_it(): pass")
    with pytest.raises(EsperError, match="could not be run: RuntimeError: no more"):
        run_checks([path], {"c": 1}, [Breaker()])
