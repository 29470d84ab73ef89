"""The report of a spike: one Markdown document that says what was found, where, and what to do."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Sequence
from pathlib import Path

from esper_core.contracts.errors import UserError
from esper_core.system.files import check_creatable, replace_synced
from esper_core.system.printable import visible
from esper_testing.spikes.verdict import Blocker, Category, Failure, Verdict


def check_writable(path: Path) -> None:
    """Find out before any work is done whether a report can be written; raises UserError."""
    try:
        check_creatable(path)
    except OSError as error:
        raise _refused(path, error) from error


def write_report(verdict: Verdict, path: Path, command: str) -> None:
    """Write the report of a verdict, all of it or nothing; raises UserError.

    Args:
        verdict: What was found.
        path: Where to.
        command: What to type to get it again.
    """
    try:
        replace_synced(path, render(verdict, command).encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> UserError:
    return UserError(f"The report cannot be written to {path}: {error.strerror}.", hint="Choose another --report FILE.")


def render(verdict: Verdict, command: str) -> str:
    """Return the report as Markdown; everything in it was measured or found by the spike."""
    slots = f"**Slots:** {', '.join(map(str, verdict.slots))}  \n" if verdict.slots else ""
    parts = [
        f"# {verdict.spike} on {verdict.policy}: {verdict.colour}",
        f"**Date:** {datetime.date.today().isoformat()}  \n**Spike:** {verdict.spike}  \n"
        f"**Policy:** {verdict.policy}  \n{slots}**Verdict:** {verdict.colour}",
        f"## Summary\n\n{_summary(verdict)}",
    ]
    if verdict.probes:
        parts.append(f"## Probes\n\n{_probes(verdict)}")
    parts += [f"## {section.title}\n\n{section.text}" for section in verdict.sections]
    if verdict.blockers or not verdict.probes:
        parts.append(f"## Blockers\n\n{_blockers(verdict)}")
    if verdict.blockers:
        parts.append(f"## Files to change\n\n{_files(verdict.blockers)}")
    if verdict.failures:
        parts.append(f"## Failed checks\n\n{_failures(verdict.failures)}")
    if verdict.skips:
        rows = [(reason, len(names), ", ".join(dict.fromkeys(names))) for reason, names in _reasons(verdict).items()]
        parts.append(f"## Skipped\n\n{table(('reason', 'checks', 'which'), rows)}")
    if verdict.recommendation:
        parts.append(f"## Recommendation\n\n{verdict.recommendation}")
    parts.append(f"## Running it again\n\n```bash\n{command}\n```")
    if any(blocker.consumers for blocker in verdict.blockers):
        parts.append(f"## Appendix: who uses what has to change\n\n{_consumers(verdict.blockers)}")
    return visible("\n\n".join(parts)) + "\n"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [[_cell(cell) for cell in row] for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def grouped(failures: Sequence[Failure]) -> list[tuple[Failure, tuple[int, ...]]]:
    """Return failures, those of one check that were raised in one place as the first of them with all slot counts."""
    groups: dict[tuple[str, str, int], list[Failure]] = {}
    for failure in failures:
        groups.setdefault((_name(failure.check), failure.file, failure.line), []).append(failure)
    return [
        (group[0], tuple(sorted({failure.slots for failure in group if failure.slots is not None})))
        for group in groups.values()
    ]


def shown(file: str) -> str:
    """Return a path as seen from the folder it is imported from, or from here."""
    folders = [Path(entry) for entry in (*sys.path, str(Path.cwd())) if entry]
    holding = [folder for folder in folders if Path(file).is_relative_to(folder)]
    return str(Path(file).relative_to(max(holding, key=lambda folder: len(folder.parts)))) if holding else file


def _name(check: str) -> str:
    """Return the name of a check without its parameters."""
    return check.partition("[")[0]


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _summary(verdict: Verdict) -> str:
    rows = [(c.name, _result(c), _notes(verdict, c)) for c in verdict.categories]
    counts = [(sum(getattr(c, kind) for c in verdict.categories), kind) for kind in ("passed", "failed", "skipped")]
    counts.append((sum(c.missing for c in verdict.categories), "did not run"))
    total = ", ".join(f"{number} {kind}" for number, kind in counts if number)
    return (
        f"{table(('category', 'result', 'notes'), rows)}\n\n**Total: {total or 'nothing'} in {verdict.seconds:.1f} s**"
    )


def _result(category: Category) -> str:
    word = "PASS"
    if category.failed or category.missing or not category.declared:
        word = "FAIL"
    elif category.skipped:
        word = "SKIP" if category.skipped == category.declared else "PART"
    return f"{word} ({category.passed}/{category.declared})"


def _notes(verdict: Verdict, category: Category) -> str:
    notes = ["where the architecture meets its surroundings"] * category.integration
    notes += [f.message for f in verdict.failures if f.category == category.name][:1]
    notes += [f"skipped: {r}" for r in dict.fromkeys(s.reason for s in verdict.skips if s.category == category.name)]
    notes += [f"{category.missing} did not run"] * bool(category.missing)
    return "; ".join(notes)


def _probes(verdict: Verdict) -> str:
    rows = [
        (
            probe.name,
            "passed" if probe.passed else "FAILED",
            "<br>".join(
                f"{quantity}: {', '.join('-' if value is None else f'{value:.4g}' for value in runs)}"
                for quantity, runs in probe.measured.items()
            ),
            probe.expected,
        )
        for probe in verdict.probes
    ]
    return table(("probe", "", "measured, run by run", "expected"), rows)


def _failures(failures: Sequence[Failure]) -> str:
    rows = [
        (_name(failure.check), ", ".join(map(str, slots)), failure.message, f"`{shown(failure.file)}:{failure.line}`")
        for failure, slots in grouped(failures)
    ]
    return table(("check", "slots", "message", "raised in"), rows)


def _blockers(verdict: Verdict) -> str:
    if not verdict.blockers:
        failed = any(category.failed or category.missing for category in verdict.categories)
        return "None was located; see the failed checks." if failed else "None."
    return "\n\n".join(
        f"### Blocker {number}: {blocker.description}\n\n"
        f"**Where:** `{shown(blocker.file)}:{blocker.line}`  \n**Kind:** {blocker.kind}  \n"
        f"**Complexity:** {blocker.complexity} ({len(blocker.consumers)} other lines use it)"
        for number, blocker in enumerate(verdict.blockers, 1)
    )


def _files(blockers: Sequence[Blocker]) -> str:
    """Return every file that a blocker lies in or is used in; the more complex blocker counts."""
    grades = ("low", "medium", "high")
    changes: dict[str, list[tuple[int, str]]] = {}
    for blocker in blockers:
        grade = grades.index(blocker.complexity)
        changes.setdefault(shown(blocker.file), []).append((grade, f"{blocker.kind} in line {blocker.line}"))
        for file in dict.fromkeys(shown(place.file) for place in blocker.consumers):
            if file != shown(blocker.file):
                changes.setdefault(file, []).append((0, f"follow {shown(blocker.file)}:{blocker.line}"))
    rows = [
        (f"`{file}`", "; ".join(dict.fromkeys(text for _, text in parts)), grades[max(grade for grade, _ in parts)])
        for file, parts in changes.items()
    ]
    return table(("file", "change", "complexity"), rows)


def _reasons(verdict: Verdict) -> dict[str, list[str]]:
    """Return the names of skipped checks by reason, without their parameters."""
    found: dict[str, list[str]] = {}
    for skip in verdict.skips:
        found.setdefault(skip.reason, []).append(_name(skip.check))
    return found


def _consumers(blockers: Sequence[Blocker]) -> str:
    parts = []
    for number, blocker in enumerate(blockers, 1):
        rows = [(f"`{shown(place.file)}`", place.line, f"`{place.text}`") for place in blocker.consumers]
        if rows:
            parts.append(f"### Blocker {number}\n\n{table(('file', 'line', 'usage'), rows)}")
    return "\n\n".join(parts)
