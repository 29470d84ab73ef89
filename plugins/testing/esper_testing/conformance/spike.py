"""What every spike must do."""

from __future__ import annotations

import json
from typing import Any

from esper_core.contracts.errors import UserError
from esper_testing.conformance.subject import Subject
from esper_testing.conformance.suite import Suite
from esper_testing.spikes.protocol import Divisible
from esper_testing.spikes.verdict import CheckResult, Verdict

SUITE = Suite("spike", ("unknown-part", "verdict", "repeatable"))

SLOTS = 1
NO_PART = "no such part of it"


def _run(subject: Subject, **wanted: Any) -> tuple[Verdict, list[CheckResult]]:
    """Run it quickly on a policy of reference components, with one slot where it takes slot counts."""
    seen = list[CheckResult]()
    try:
        verdict = subject.build().run(*_asked(subject), slots=(SLOTS,), quick=True, on_result=seen.append, **wanted)
    except UserError:
        seen.clear()
        verdict = subject.build().run(*_asked(subject), quick=True, on_result=seen.append, **wanted)
    return verdict, seen


def _share(subject: Subject, spike: Divisible, only: str) -> list[CheckResult]:
    """Do a part of it as shards do, and judge what can be read back from a file."""
    seen = list[CheckResult]()
    try:
        work = spike.divide(*_asked(subject), slots=(SLOTS,), only=only, quick=True)
    except UserError:
        work = spike.divide(*_asked(subject), only=only, quick=True)
    done = dict(work.do(work.parts, seen.append))
    assert set(done) == set(work.parts), "its work does not bring all of its parts"
    assert isinstance(work.judge(json.loads(json.dumps(done, allow_nan=False))), Verdict), "its work judges nothing"
    return seen


def _asked(subject: Subject) -> tuple[Any, Any]:
    return subject.plan(SLOTS), subject.full_index


def _whole(subject: Subject) -> tuple[Verdict, list[CheckResult]]:
    return subject.once("whole", lambda: _run(subject))


@SUITE.check("unknown-part")
def unknown_part(subject: Subject) -> None:
    """It refuses an `only` that names no part of it with a UserError, before it does any work."""
    plan, seen = subject.plan(SLOTS), list[CheckResult]()
    try:
        subject.build().run(plan, subject.full_index, only=NO_PART, quick=True, on_result=seen.append)
    except UserError:
        assert not seen, f"it ran {len(seen)} checks before it refused a part that does not exist"
        return
    raise AssertionError(f"it runs although only='{NO_PART}' names no part of it")


@SUITE.check("verdict")
def verdict(subject: Subject) -> None:
    """A quick run on a small policy gives a verdict that counts what was declared, and reports every check."""
    found, seen = _whole(subject)
    assert isinstance(found, Verdict), f"it returns a {type(found).__name__}, not a Verdict"
    assert found.spike == subject.component.name, f"its verdict is by the spike '{found.spike}'"
    assert found.categories, "its verdict has no categories, so nothing is declared"
    for category in found.categories:
        assert category.declared > 0, f"'{category.name}' declares no checks"
        ran = category.passed + category.failed + category.skipped
        assert ran == category.declared, f"'{category.name}' declares {category.declared} checks, and {ran} ran"
    assert seen, "it never calls on_result"
    strangers = [result for result in seen if result.outcome not in ("passed", "failed", "skipped")]
    assert not strangers, f"it reports the outcome '{strangers[0].outcome}'" if strangers else ""
    json.dumps(found.to_json(), allow_nan=False)


@SUITE.check("repeatable", after=("verdict",))
def repeatable(subject: Subject) -> None:
    """A part of it, run again by itself, as shards do it where they can, comes out as in the whole."""
    _, seen = _whole(subject)
    part, spike = seen[0].category, subject.build()
    again = _share(subject, spike, part) if isinstance(spike, Divisible) else _run(subject, only=part)[1]
    once, twice = ({result for result in results if result.category == part} for results in (seen, again))
    assert twice, f"only='{part}' runs nothing"
    differing = [f"{result.check} {result.outcome}" for result in sorted(once ^ twice)]
    assert not differing, f"'{part}' comes out otherwise when it is run again: {', '.join(differing)}"
