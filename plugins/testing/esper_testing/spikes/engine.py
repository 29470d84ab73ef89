"""Running checks: test modules, run by pytest in this process, counted by category.

The modules are ordinary test modules, so a plugin author can run the very same checks from a test suite. Each sets
`CATEGORY`, the name it is counted under.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from attrs import asdict, define, field

from esper_core.contracts.errors import EsperError, Interruption
from esper_core.contracts.foreign import asks_to_stop
from esper_core.system.json_files import finite
from esper_testing.location import is_library
from esper_testing.spikes.verdict import Category, CheckResult, Failure, Place, Skip

OUTCOMES = ("passed", "failed", "skipped")

SLOTS_PARAMETER = "num_slots"
"""Name of the test parameter that holds the slot count."""

_ISOLATED = (
    "--import-mode=importlib",
    "--capture=no",
    "--continue-on-collection-errors",
    "--disable-plugin-autoload",
    "--noconftest",
    "-pno:cacheprovider",
    "-pno:terminal",
    "-pno:unraisableexception",
    "-pno:threadexception",
    f"-c{os.devnull}",
)
"""The checks must not depend on the settings or plugins of whatever project they are run in."""

_MODULE = re.compile(r"^(\w+\.)+(?=\w+(:|$))")
"""The module in front of the name of an error."""


class Measurement(NamedTuple):
    """What a check noted with pytest's `record_property`.

    Attributes:
        params: Parameters of the check by name, such as `num_slots`.
    """

    category: str
    name: str
    value: Any
    params: Mapping[str, Any]


class Report(NamedTuple):
    """What came of checks."""

    categories: tuple[Category, ...]
    failures: tuple[Failure, ...]
    skips: tuple[Skip, ...]
    measurements: tuple[Measurement, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it JSON-able, for `of_parts`."""
        plain: dict[str, Any] = json.loads(json.dumps(finite(self._tables()), default=str))
        return plain

    def _tables(self) -> dict[str, Any]:
        return {
            "categories": [asdict(category) for category in self.categories],
            "failures": [asdict(failure, recurse=False) for failure in self.failures],
            "skips": [asdict(skip) for skip in self.skips],
            "measurements": [measurement._asdict() for measurement in self.measurements],
        }

    @classmethod
    def of_parts(
        cls, parts: Iterable[Mapping[str, Any]], declared: Mapping[str, int], integration: Collection[str] = ()
    ) -> Report:
        """Return one report of what `to_json` returned of several that share no check; otherwise as `run_checks`.

        A module that could not be imported failed in every part that it belongs to, and counts once.
        """
        parts = list(parts)
        counts: Counter[tuple[str, str]] = Counter()
        for part in parts:
            for category in part["categories"]:
                for outcome in OUTCOMES:
                    key = category["name"], outcome
                    known = category["name"] in declared
                    counts[key] = counts[key] + category[outcome] if known else max(counts[key], category[outcome])
        failures = {json.dumps(failure): failure for part in parts for failure in part["failures"]}
        return cls(
            _categories(counts, declared, integration),
            tuple(
                Failure(**{**failure, "trace": [Place(*place) for place in failure["trace"]]})
                for failure in failures.values()
            ),
            tuple(Skip(**skip) for part in parts for skip in part["skips"]),
            tuple(Measurement(**measurement) for part in parts for measurement in part["measurements"]),
        )


def run_checks(
    modules: Sequence[Path],
    declared: Mapping[str, int],
    plugins: Iterable[object] = (),
    on_result: Callable[[CheckResult], None] | None = None,
    *,
    integration: Collection[str] = (),
    select: Callable[[str, Mapping[str, Any]], bool] | None = None,
) -> Report:
    """Run test modules and count what came of them.

    Whatever the checks print goes to standard error, so that standard output stays the caller's.

    Args:
        modules: The test modules, all in one folder.
        declared: Category → how many checks there must be, in the order of the report.
        plugins: pytest plugins that provide what the checks ask for.
        on_result: Called after every check.
        integration: Categories that look at what surrounds the architecture.
        select: From category and parameters of a check to whether it runs; all run without.

    Raises:
        EsperError: pytest could not run the modules at all.
        Interruption: the user asked to stop.
    """
    recorder = _Recorder(on_result or (lambda result: None), select or (lambda category, params: True))
    arguments = [*_ISOLATED, f"--rootdir={modules[0].parent}", *map(str, modules)]
    with _without("PYTEST_ADDOPTS", "PYTEST_PLUGINS"), contextlib.redirect_stdout(sys.stderr):
        status = pytest.main(arguments, plugins=[*plugins, recorder])
    if recorder.interrupted:
        raise Interruption
    if status in (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERRUPTED):
        reason = recorder.broken or "pytest refused to start"
        raise EsperError(f"The checks could not be run: {reason}.", hint="Use --debug for the traceback.")
    categories = _categories(recorder.counts, declared, integration)
    return Report(categories, tuple(recorder.failures), tuple(recorder.skips), tuple(recorder.measurements))


def _categories(
    counts: Counter[tuple[str, str]], declared: Mapping[str, int], integration: Collection[str]
) -> tuple[Category, ...]:
    names = dict.fromkeys([*declared, *(category for category, _ in counts)])
    return tuple(
        Category(
            name=name,
            declared=declared.get(name, 0),
            integration=name in integration,
            **{outcome: counts[name, outcome] for outcome in OUTCOMES},
        )
        for name in names
    )


@contextlib.contextmanager
def _without(*variables: str) -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in variables if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


@define
class _Recorder:
    """A pytest plugin that counts outcomes and keeps failures, skips and measurements."""

    on_result: Callable[[CheckResult], None]
    select: Callable[[str, Mapping[str, Any]], bool]
    counts: Counter[tuple[str, str]] = field(factory=Counter)
    failures: list[Failure] = field(factory=list)
    skips: list[Skip] = field(factory=list)
    measurements: list[Measurement] = field(factory=list)
    interrupted: bool = False
    broken: str = ""

    def pytest_configure(self, config: pytest.Config) -> None:
        """Make tracebacks in the style that is quickest to make: nobody is shown them."""
        config.option.tbstyle = "native"

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out checks that are not asked for."""
        items[:] = [item for item in items if self.select(_category(item), _params(item))]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        """Count a check by its call, or by the phase around it that did not pass."""
        report = yield
        if report.when != "call" and report.passed:
            return report
        # An expected failure is reported as skipped, and as failed where it passed against expectation.
        category, params = _category(item), _params(item)
        self.counts[category, report.outcome] += 1
        slots = params.get(SLOTS_PARAMETER)
        if report.failed:
            self.failures.append(_failure(category, item, params, call))
        elif report.skipped:
            self.skips.append(Skip(category=category, check=item.name, slots=slots, reason=_reason(report)))
        self.measurements += [Measurement(category, name, value, params) for name, value in report.user_properties]
        self.on_result(CheckResult(category, item.name, report.outcome))
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Count a module that cannot be imported as a failure."""
        if not report.failed:
            return
        name = Path(report.nodeid).stem or "collection"
        lines = [line.removeprefix("E").strip() for line in report.longreprtext.splitlines() if line.startswith("E")]
        message = lines[0] if lines else "the module cannot be collected"
        self.counts[name, "failed"] += 1
        self.failures.append(
            Failure(category=name, check=name, slots=None, message=message, file=report.nodeid, line=0)
        )
        self.on_result(CheckResult(name, name, "failed"))

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember that the user asked to stop; errors of collection arrive here too, as a subclass."""
        if excinfo.type in (KeyboardInterrupt, Interruption):
            self.interrupted = asks_to_stop(excinfo.value)
            self.broken = excinfo.exconly()

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Keep the reason of an error of pytest's own or of a plugin's hook."""
        self.broken = excinfo.exconly()


def _category(item: pytest.Item) -> str:
    return str(getattr(getattr(item, "module", None), "CATEGORY", item.path.stem))


def _params(item: pytest.Item) -> Mapping[str, Any]:
    params: Mapping[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    return params


def _failure(category: str, item: pytest.Item, params: Mapping[str, Any], call: pytest.CallInfo[None]) -> Failure:
    slots = params.get(SLOTS_PARAMETER)
    if call.excinfo is None:  # an expected failure that passed has no exception
        return Failure(
            category=category, check=item.name, slots=slots, message="passed unexpectedly", file=str(item.path), line=0
        )
    root: BaseException = call.excinfo.value
    while root.__cause__ is not None:
        root = root.__cause__
    frames = [Place(f.filename, f.lineno or 0, f.line or "") for f in traceback.extract_tb(root.__traceback__)]
    trace = [frame for frame in frames if not is_library(frame.file)]
    # The deepest frame that is not a library's: a plugin's when it raised, else the check's.
    place = [*frames, *trace][-1] if frames else Place("", 0)
    text = call.excinfo.exconly().splitlines()
    message = _MODULE.sub("", text[0] if text else call.excinfo.typename).removeprefix("AssertionError: ")
    return Failure(
        category=category,
        check=item.name,
        slots=slots,
        message=message,
        file=place.file,
        line=place.line,
        trace=trace,
        params=params,
    )


def _reason(report: pytest.TestReport) -> str:
    """Return why a check was skipped or was expected to fail."""
    if hasattr(report, "wasxfail"):
        return str(report.wasxfail) or "expected to fail"
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")
