"""The engine: every declared check is accounted for, and nothing a component does stops the others."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from esper_core import ComponentSpec, KindSpec
from esper_core.builtin import plugin as core
from esper_core.contracts.errors import UserError
from esper_core.registry.index import Component, Index
from esper_testing.conformance.report import Conformance, Result
from esper_testing.conformance.run import Checker, check_component, check_components
from esper_testing.conformance.subject import Subject
from esper_testing.conformance.suite import BUILT, Skip, Suite
from esper_testing.index import index_from_specs

SUITE = Suite("gadget", ("first", "second", "third", "unavailable", "lost", "claimed"))
NAMES = ("registration", "spec", "light-config", "config", BUILT, "first", "second", "third", "unavailable", "lost")


@SUITE.check("first", after=())
def first(subject: Subject) -> None:
    if subject.spec.name == "broken":
        raise RuntimeError("no luck\nat all")


@SUITE.check("second", after=("first",))
def second(subject: Subject) -> None:
    print("noise")


@SUITE.check("third", after=("second",))
def third(subject: Subject) -> None:
    assert subject.spec.name != "third-fails", "three is wrong"


@SUITE.check("unavailable", after=())
def unavailable(subject: Subject) -> None:
    raise Skip("there is no such device here")


@SUITE.check("claimed", after=(), claim="gadget:shine")
def claimed(subject: Subject) -> None:
    sys.exit("it leaves")


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> type:
    module = ModuleType("gadget_suite")
    module.SUITE = SUITE  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gadget_suite", module)

    class Judge:
        def __new__(cls, name: str, **more: object) -> dict[str, Result]:  # type: ignore[misc]
            component, index = cls.find(name, **more)
            return {result.name: result for result in check_component(component, index)}

        @staticmethod
        def find(name: str, conformance: str = "gadget_suite:SUITE", **more: object) -> tuple[Component, Index]:
            kind = KindSpec(name="gadget", protocol="builtins:object", conformance=conformance)
            spec = ComponentSpec(kind="gadget", name=name, factory="builtins:dict", **more)  # type: ignore[arg-type]
            index = index_from_specs([spec], [kind])
            return index.components[0], index

    return Judge


def test_every_declared_check_has_a_row(judge: type) -> None:
    rows = judge("good")
    assert tuple(rows) == NAMES
    assert {name: rows[name].status for name in NAMES[5:]} == {
        "first": "passed",
        "second": "passed",
        "third": "passed",
        "unavailable": "skipped",
        "lost": "missing",
    }


def test_what_depends_on_a_failure_is_blocked(judge: type, capsys: pytest.CaptureFixture[str]) -> None:
    rows = judge("broken")
    assert (rows["first"].status, rows["first"].message) == ("failed", "RuntimeError: no luck")
    assert rows["first"].file == __file__
    assert (rows["second"].status, rows["second"].message) == ("blocked", "it needs first")
    assert (rows["third"].status, rows["third"].message) == ("blocked", "it needs second")
    judge("good")
    assert capsys.readouterr().out == "", "stdout belongs to the command"


def test_a_claim_is_checked_where_it_is_made(judge: type) -> None:
    row = judge("shiny", provides=("gadget:shine",))["claimed"]
    assert (row.status, row.message) == ("failed", "SystemExit: it leaves")


def test_expected_failures_are_named_and_must_happen(judge: type) -> None:
    row = judge("third-fails", known_failures={"third": "until 2.0"})["third"]
    assert (row.status, row.message) == ("expected", "until 2.0")
    row = judge("good", known_failures={"third": "until 2.0"})["third"]
    assert (row.status, row.message) == ("failed", "its spec expects it to fail (until 2.0), but it passes")
    assert judge("good", known_failures={"nonsense": "why"})["nonsense"].status == "missing"


def test_a_check_runs_once_and_after_what_it_needs(judge: type) -> None:
    component, index = judge.find("broken")  # type: ignore[attr-defined]
    checker = Checker.of(component, index)
    assert checker.result("third").status == "blocked"
    assert checker.result("first") is checker.result("first")
    assert isinstance(checker.errors["first"], RuntimeError)


def test_a_kind_without_a_suite_is_an_error(judge: type) -> None:
    component, index = judge.find("good", conformance="")  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="no conformance suite"):
        check_component(component, index)


def test_only_declared_names_have_checks() -> None:
    suite = Suite("gadget", ("one",))
    suite.check("one")(first)
    for name in ("one", "two"):
        with pytest.raises(ValueError, match=name):
            suite.check(name)


@pytest.mark.parametrize(
    ("statuses", "colour"),
    [
        (["passed"], "GREEN"),
        (["passed", "skipped"], "YELLOW"),
        (["passed", "expected"], "YELLOW"),
        (["passed", "blocked"], "RED"),
        (["passed", "missing", "skipped"], "RED"),
        (["failed"], "RED"),
        ([], "RED"),
    ],
)
def test_the_verdict_counts(statuses: list[str], colour: str) -> None:
    rows = [Result(component="a/b", name=str(i), status=s) for i, s in enumerate(statuses)]  # type: ignore[arg-type]
    verdict = Conformance(subject="a", checks=rows)
    assert verdict.colour == verdict.to_json()["verdict"] == colour
    assert verdict.exit_code == (5 if colour == "RED" else 0)


def test_kinds_are_checked_for_what_they_name() -> None:
    kind = KindSpec(name="gadget", protocol="no_such_module:Protocol")
    index = index_from_specs([], [kind])
    rows = {row.name: row for row in check_components("x", [], index, kinds=[kind]).checks}
    assert (rows["protocol"].component, rows["protocol"].status) == ("kind/gadget", "failed")
    assert "no module 'no_such_module'" in rows["protocol"].message
    assert rows["conformance"].status == "failed"


def test_every_kind_of_the_core_names_a_suite() -> None:
    assert all(kind.conformance for kind in core.esper_kinds())
