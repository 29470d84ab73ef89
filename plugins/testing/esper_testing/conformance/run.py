"""Running checks on components and commands."""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence

from attrs import define, field

from esper_core.contracts.components import KindSpec
from esper_core.contracts.errors import EsperError, MissingPackage, UserError
from esper_core.contracts.foreign import asks_to_stop
from esper_core.registry.index import Command, Component, Index
from esper_core.registry.references import load_reference
from esper_testing.conformance import command
from esper_testing.conformance.command import CommandSubject
from esper_testing.conformance.every_kind import EVERY_KIND
from esper_testing.conformance.report import Conformance, Result, Status
from esper_testing.conformance.subject import Subject
from esper_testing.conformance.suite import Check, Skip, Suite
from esper_testing.location import locate, summarise

OnResult = Callable[[Result], None]


def suites_of(kind: KindSpec) -> tuple[Suite, ...]:
    """Return the suites that components of a kind are checked with: the one of all kinds and its own.

    Raises:
        PluginError: the suite cannot be imported.
        UserError: nobody declared checks for the kind.
    """
    if not kind.conformance:
        raise UserError(
            f"The kind '{kind.name}' has no conformance suite, so its components cannot be checked.",
            hint="Whoever declares the kind sets `conformance` in its KindSpec.",
        )
    return EVERY_KIND, load_reference(kind.conformance, f"the kind '{kind.name}'")


@define
class Checker:
    """Runs the checks of one component or command, each at most once, and before it what it depends on.

    Attributes:
        errors: What failed checks raised, by name.
    """

    subject: Subject | CommandSubject
    suites: tuple[Suite, ...]
    errors: dict[str, BaseException] = field(factory=dict, init=False)
    _results: dict[str, Result] = field(factory=dict, init=False)

    @classmethod
    def of(cls, checked: Component | Command, index: Index) -> Checker:
        """Return what checks a component or a command of an index; raises as `suites_of`."""
        if isinstance(checked, Command):
            return cls(CommandSubject(checked, index), (command.SUITE,))
        return cls(Subject(checked, index), suites_of(index.kinds[checked.kind]))

    @property
    def names(self) -> tuple[str, ...]:
        """Declared checks that concern the subject, in order."""
        names = [name for suite in self.suites for name in suite.declared if self._concerns(suite.find(name))]
        # What nobody declares, yet its spec expects to fail, is a mistake of the spec's.
        return tuple(dict.fromkeys([*names, *self.subject.known_failures]))

    def result(self, name: str) -> Result:
        """Return what came of a check; run it, and what it depends on, where that has not happened yet.

        Nothing that the component does raises, except that the user asks to stop.
        """
        if name not in self._results:
            status, message = self._run(name)
            file, line = locate(self.errors[name]) if name in self.errors else ("", 0)
            self._results[name] = Result(
                component=self.subject.key, name=name, status=status, message=message, file=file, line=line
            )
        return self._results[name]

    def _concerns(self, check: Check | None) -> bool:
        return check is None or check.claim is None or self.subject.claims(check.claim)

    def _find(self, name: str) -> Check | None:
        return next((check for suite in self.suites if (check := suite.find(name)) is not None), None)

    def _run(self, name: str) -> tuple[Status, str]:
        check, expected = self._find(name), self.subject.known_failures.get(name)
        if check is None:
            return "missing", "it is declared or expected to fail, but there is no such check"
        waiting = [before for before in check.after if self.result(before).status not in ("passed", "skipped")]
        if waiting:
            return "blocked", f"it needs {', '.join(waiting)}"
        try:
            # stdout belongs to the command, which may have to write exactly one JSON document to it.
            with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check.run(self.subject)
        except Skip as reason:
            return "skipped", str(reason)
        except MissingPackage as error:
            return "skipped", str(error).replace("\n", " ")
        except BaseException as error:
            if asks_to_stop(error):
                raise
            self.errors[name] = error
            return ("expected", expected) if expected is not None else ("failed", summarise(error))
        if expected is not None:
            return "failed", f"its spec expects it to fail ({expected}), but it passes"
        return "passed", ""


def check_component(
    component: Component | Command, index: Index, on_result: OnResult | None = None
) -> tuple[Result, ...]:
    """Run every declared check on a component or a command.

    Raises:
        PluginError, UserError: its kind's suite cannot be found.
    """
    checker = Checker.of(component, index)
    return tuple(_told(map(checker.result, checker.names), on_result))


def check_components(
    subject: str,
    components: Sequence[Component | Command],
    index: Index,
    *,
    kinds: Sequence[KindSpec] = (),
    on_result: OnResult | None = None,
) -> Conformance:
    """Run every declared check on several components and commands, and return what came of it.

    Args:
        subject: What was asked for, for the report.
        components: Components and commands.
        index: What is installed.
        kinds: Kinds that are checked too: whether what they name exists.
        on_result: Called after every check.

    Raises:
        PluginError, UserError: the suite of a component's kind cannot be found.
    """
    started = time.monotonic()
    checks = [row for kind in kinds for row in _told(map(_check_kind, _references(kind)), on_result)]
    checks += [row for component in components for row in check_component(component, index, on_result)]
    return Conformance(subject=subject, checks=checks, seconds=time.monotonic() - started)


def _references(kind: KindSpec) -> list[tuple[KindSpec, str]]:
    return [(kind, attribute) for attribute in ("protocol", "conformance")]


def _check_kind(named: tuple[KindSpec, str]) -> Result:
    """Check that a kind has what its spec must name, and that it can be imported."""
    kind, attribute = named
    key, reference = f"kind/{kind.name}", getattr(kind, attribute)
    if not reference:
        return Result(component=key, name=attribute, status="failed", message=f"its KindSpec has no `{attribute}`")
    try:
        load_reference(reference, f"the kind '{kind.name}'")
    except EsperError as error:
        file, line = locate(error)
        return Result(component=key, name=attribute, status="failed", message=error.message, file=file, line=line)
    return Result(component=key, name=attribute, status="passed")


def _told(results: Iterable[Result], on_result: OnResult | None) -> Iterable[Result]:
    for result in results:
        if on_result is not None:
            on_result(result)
        yield result
