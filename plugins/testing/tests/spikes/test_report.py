"""Verdicts follow from counts; the report says what was found, and nothing that was not."""

from __future__ import annotations

from pathlib import Path

import pytest

from esper_core.contracts.errors import UserError
from esper_testing.spikes.report import check_writable, render, write_report
from esper_testing.spikes.verdict import Blocker, Category, Failure, Place, Section, Skip, Verdict


def verdict(**more: object) -> Verdict:
    categories = more.pop("categories", [Category(name="a", declared=2, passed=2)])
    return Verdict(spike="s", policy="p", categories=categories, seconds=1.25, **more)  # type: ignore[arg-type]


def section(text: str, title: str) -> str:
    return text.split(f"## {title}\n\n")[1].split("\n\n## ")[0]


def test_a_report_of_nothing_but_good_news() -> None:
    text = render(verdict(recommendation="**Go.**", sections=[Section("Matrix", "all yes")]), "esper spike run s")
    assert text.startswith("# s on p: GREEN\n")
    assert "| a | PASS (2/2) |  |" in section(text, "Summary")
    assert "**Total: 2 passed in 1.2 s**" in section(text, "Summary")
    assert section(text, "Matrix") == "all yes"
    assert section(text, "Blockers") == "None."
    assert section(text, "Recommendation") == "**Go.**"
    assert section(text, "Running it again") == "```bash\nesper spike run s\n```\n"
    assert not any(title in text for title in ("Appendix", "Files to change", "Slots:"))


def test_nothing_in_it_is_obeyed_by_a_terminal() -> None:
    section = Section("Matrix", "one\n\x1b]0;x\a\u202etwo\udcff")
    assert "one\n\\x1b]0;x\\x07\\u202etwo\\udcff" in render(verdict(sections=[section]), "esper")


def test_results_of_categories() -> None:
    categories = [
        Category(name="whole", declared=2, passed=2),
        Category(name="broken", declared=2, passed=1, failed=1),
        Category(name="lost", declared=2, passed=1),
        Category(name="part", declared=2, passed=1, skipped=1),
        Category(name="skipped", declared=2, skipped=2, integration=True),
    ]
    failure = Failure(category="broken", check="test_x", slots=2, message="a | b", file="a.py", line=1)
    skips = [Skip(category="skipped", check=f"test_y[N={n}]", slots=n, reason="no slots") for n in (1, 2)]
    text = render(verdict(categories=categories, failures=[failure], skips=skips, slots=(1, 2)), "esper")
    summary = section(text, "Summary")
    for row in (
        "| whole | PASS (2/2) |  |",
        "| broken | FAIL (1/2) | a \\| b |",
        "| lost | FAIL (1/2) | 1 did not run |",
        "| part | PART (1/2) |  |",
        "| skipped | SKIP (0/2) | where the architecture meets its surroundings; skipped: no slots |",
    ):
        assert row in summary
    assert "**Total: 5 passed, 1 failed, 3 skipped, 1 did not run in 1.2 s**" in summary
    assert "| test_x | 2 | a \\| b | `a.py:1` |" in section(text, "Failed checks")
    assert "| no slots | 2 | test_y |" in section(text, "Skipped")
    assert "None was located" in section(text, "Blockers")
    assert "**Slots:** 1, 2" in text


def test_blockers_files_and_consumers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    layout, masks, head = (str(tmp_path / "acme" / name) for name in ("layout.py", "masks.py", "head.py"))
    used = [Place(masks, 3, "from acme.layout import NUM_SLOTS"), Place(masks, 9, "torch.zeros(NUM_SLOTS)")]
    blockers = [
        Blocker(description="three", kind="constant", file=layout, line=2, complexity="high", consumers=used),
        Blocker(description="untold", kind="default", file=head, line=5, complexity="low"),
    ]
    text = render(verdict(blockers=blockers), "esper")
    found = section(text, "Blockers")
    assert "### Blocker 1: three\n\n**Where:** `acme/layout.py:2`  \n**Kind:** constant  \n" in found
    assert "**Complexity:** high (2 other lines use it)" in found
    files = section(text, "Files to change")
    assert "| `acme/layout.py` | constant in line 2 | high |" in files
    assert "| `acme/masks.py` | follow acme/layout.py:2 | low |" in files
    assert "| `acme/head.py` | default in line 5 | low |" in files
    appendix = section(text, "Appendix: who uses what has to change")
    assert "### Blocker 1" in appendix and "### Blocker 2" not in appendix
    assert "| `acme/masks.py` | 9 | `torch.zeros(NUM_SLOTS)` |" in appendix


def test_finding_out_whether_it_can_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    check_writable(path)
    assert not path.exists()
    path.write_text("earlier")
    check_writable(path)
    assert path.read_text() == "earlier"
    for wrong in (tmp_path, tmp_path / "none" / "report.md"):
        for attempt in (check_writable, lambda path: write_report(verdict(), path, "esper")):
            with pytest.raises(UserError, match="cannot be written"):
                attempt(wrong)


def category(declared: int = 4, **counts: int) -> Category:
    return Category(name="c", declared=declared, **counts)


@pytest.mark.parametrize(
    ("categories", "colour", "code"),
    [
        ([category(passed=4)], "GREEN", 0),
        ([category(passed=4), category(passed=3, skipped=1)], "YELLOW", 0),
        ([category(passed=3, failed=1)], "RED", 5),
        ([category(passed=3)], "RED", 5),
        ([category(declared=0)], "RED", 5),
        ([], "RED", 5),
        ([category(passed=4), category(integration=True, passed=3, failed=1)], "YELLOW", 0),
        ([category(passed=3, failed=1), category(integration=True, passed=4)], "RED", 5),
        ([category(passed=4), category(integration=True, passed=2, failed=1)], "RED", 5),
    ],
)
def test_colours(categories: list[Category], colour: str, code: int) -> None:
    result = verdict(categories=categories)
    assert (result.colour, result.exit_code) == (colour, code)
