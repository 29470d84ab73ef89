"""Sections of the report beyond counts and blockers, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from esper_core.composition.fit import ANY_SLOTS
from esper_spike_dynamic_slots.categories import CATEGORIES
from esper_spike_dynamic_slots.findings import Findings, measured
from esper_testing.spikes.report import table
from esper_testing.spikes.verdict import Blocker, Category, Section, Skip

WORDS = {True: "yes", False: "no", None: "not found out"}


def sections(findings: Findings, slots: Sequence[int]) -> tuple[Section, ...]:
    """Return the parts for which something was measured."""
    made = (
        Section("Checkpoints between slot counts", _matrix(findings, slots)),
        Section("What a change of the slot count asks of hyperparameters", _sensitivity(findings)),
        Section("Credit assignment", "\n".join(f"- {sentence}" for sentence in findings.credit())),
    )
    return tuple(section for section in made if section.text)


def _matrix(findings: Findings, slots: Sequence[int]) -> str:
    cells = findings.compatibility(slots)
    if not cells:
        return ""
    rows = [(f"saved with N={saved}", *(WORDS[loads] for loads in row.values())) for saved, row in cells.items()]
    text = table(("", *(f"load with N={count}" for count in slots)), rows)
    off = [loads for saved, row in cells.items() for here, loads in row.items() if saved != here]
    if off and not any(off):
        text += "\n\nCheckpoints are **not portable** between slot counts: say so in release notes."
    elif off and all(off):
        text += (
            "\n\nCheckpoints are portable between all of these slot counts: the network provides "
            f"`{ANY_SLOTS}`, and its weights have the same names and shapes, {findings.portable:,} parameters, with "
            "every count. What is seen is the same base block and the same block for every slot, and what is done the "
            "same but for how many slots there are to choose from."
        )
    if findings.refusal:
        text += f"\n\nThis is how one that does not fit is refused:\n\n```\n{findings.refusal}\n```"
    return text


def _sensitivity(findings: Findings) -> str:
    rows = [
        (
            row["name"],
            row["reason"],
            "<br>".join(measured(quantity, values) for quantity, values in row["measured"].items() if values),
            row["recommendation"],
        )
        for row in findings.hyperparameters()
    ]
    return table(("hyperparameter", "reason", "measured", "recommendation"), rows) if rows else ""


def recommendation(categories: Sequence[Category], skips: Sequence[Skip], blockers: Sequence[Blocker]) -> str:
    """Return go or no-go and why."""
    missing = sum(category.missing for category in categories)
    core = [c.name for c in categories if c.failed and not c.integration]
    around = [c.name for c in categories if c.failed and c.integration]
    if missing:
        return f"**No-go.** {missing} declared checks did not run, so nothing is proved. Find out why and run it again."
    if core:
        return (
            f"**No-go.** The architecture itself does not follow the number of slots: {', '.join(core)}. "
            f"{_work(blockers)}"
        )
    if around:
        return (
            "**Go for the architecture.** Features, network, critic and loss work with every slot count tried; what is "
            f"left lies where they meet masks and environment: {', '.join(around)}. {_work(blockers)}"
        )
    if skips:
        reasons = "; ".join(dict.fromkeys(skip.reason for skip in skips))
        return f"**Go, as far as it was checked.** Nothing failed, but {len(skips)} checks did not apply: {reasons}."
    if len(categories) < len(CATEGORIES):
        return "**Go, as far as it was checked:** only a part of the checks was asked for."
    return "**Go.** Features, network, critic, loss, masks and environment work with every slot count tried."


def _work(blockers: Sequence[Blocker]) -> str:
    if not blockers:
        return "Nothing in the components' sources explains it; see the failed checks."
    number, files = len(blockers), len({blocker.file for blocker in blockers})
    grades = [
        f"{n} {grade}" for grade in ("high", "medium", "low") if (n := sum(b.complexity == grade for b in blockers))
    ]
    where = f"{number} blocker{'s' * (number > 1)} in {files} file{'s' * (files > 1)}"
    return f"To do: {where}; complexity: {', '.join(grades)}."
