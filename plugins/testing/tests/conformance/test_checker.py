"""The engine: every declared check is accounted for, and nothing a component does stops the others."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from esper_core import ComponentSpec, KindSpec
from esper_core.contracts.errors import UserError
from esper_testing.conformance.report import Conformance, Result
from esper_testing.conformance.run import check_component, check_components
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


def judge(name: str, conformance: str = f"{__name__}:SUITE", **more: Any) -> dict[str, Result]:
    """Check a gadget of this name."""
    kind = KindSpec(name="gadget", protocol="builtins:object", conformance=conformance)
    index = index_from_specs([ComponentSpec(kind="gadget", name=name, factory="builtins:dict", **more)], [kind])
    return {result.name: result for result in check_component(index.components[0], index)}


def test_every_declared_check_has_a_row() -> None:
    rows = judge("good")
    assert tuple(rows) == NAMES
    assert [rows[name].status for name in NAMES[5:]] == [*["passed"] * 3, "skipped", "missing"]


def test_what_depends_on_a_failure_is_blocked(capsys: pytest.CaptureFixture[str]) -> None:
    rows = judge("broken")
    assert [(rows[name].status, rows[name].message) for name in ("first", "second", "third")] == [
        ("failed", "RuntimeError: no luck"),
        ("blocked", "it needs first"),
        ("blocked", "it needs second"),
    ]
    assert rows["first"].file == __file__
    judge("good")
    assert capsys.readouterr().out == "", "stdout belongs to the command"


def test_a_claim_is_checked_where_it_is_made() -> None:
    assert judge("shiny", provides=("gadget:shine",))["claimed"].message == "SystemExit: it leaves"


def test_expected_failures_are_named_and_must_happen() -> None:
    row = judge("third-fails", known_failures={"third": "until 2.0"})["third"]
    assert (row.status, row.message) == ("expected", "until 2.0")
    row = judge("good", known_failures={"third": "until 2.0"})["third"]
    assert (row.status, row.message) == ("failed", "its spec expects it to fail (until 2.0), but it passes")
    assert judge("good", known_failures={"nonsense": "why"})["nonsense"].status == "missing"


def test_a_kind_without_a_suite_is_an_error() -> None:
    with pytest.raises(UserError, match="no conformance suite"):
        judge("good", conformance="")


@pytest.mark.parametrize(
    ("statuses", "colour"),
    [
        ("passed", "GREEN"),
        ("passed expected", "YELLOW"),
        ("passed blocked", "RED"),
        ("passed missing", "RED"),
        ("failed", "RED"),
        ("", "RED"),
    ],
)
def test_the_verdict_counts(statuses: str, colour: str) -> None:
    rows = [Result(component="a/b", name=str(i), status=s) for i, s in enumerate(statuses.split())]  # type: ignore[arg-type]
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
