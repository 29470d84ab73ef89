"""Children that work together: errors are raised once all have answered, rows come back in order, tasks once."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from esper_core.contracts.errors import EsperError
from esper_core.system.crew import Crew, equal_shares, may_have_children, methods_of, row_order
from esper_core.system.processes import Purpose

PURPOSE = Purpose("esper-crew-test", "counting", "Lower it.", "Look there.", lambda modules: None, rows="hens")


class Hens:
    """Rows that count how often they were asked."""

    def __init__(self, first: int) -> None:
        if first < 0:
            raise ValueError("no such hen")
        self.first, self.asked = first, 0

    def lay(self, rows: list[int]) -> list[tuple[int, int]]:
        self.asked += 1
        if self.first == 0 and not rows[0]:
            raise ValueError("not today")
        return [(self.first + row, self.asked) for row in rows]

    def vanish(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def crew(*first: int) -> Crew:
    return Crew(PURPOSE, [partial(methods_of, Hens, one) for one in first], equal_shares(5, 2))


def test_rows_come_back_in_the_order_in_which_they_were_asked_for() -> None:
    with crew(0, 2).open() as hens:
        assert [*map(list, hens.shares)] == [[0, 1], [2, 3, 4]]
        rows = [4, 1, 2]
        answers, places = hens.each("lay", rows, lambda n, found: (hens.local(n, [rows[at] for at in found]),))
        joined = [row for answer in answers for row, _ in answer]
        assert [joined[at] for at in row_order(places)] == rows


def test_an_error_is_raised_once_all_have_answered_and_everybody_goes_on() -> None:
    with crew(0, 2) as hens:
        with pytest.raises(EsperError, match=r"A process for counting failed .* not today"):
            hens.everyone("lay", [0])
        assert hens.everyone("lay", [1]) == [[(1, 2)], [(3, 2)]], "the second was asked, and no answer is left over"


def test_who_is_gone_is_named_with_its_rows() -> None:
    with crew(0, 2) as hens, pytest.raises(EsperError, match=r"Worker 1 of 2, with the hens 2 to 4: .* status -9"):
        hens.ask({0: ("lay", [1]), 1: ("vanish",)})


def test_who_cannot_begin_leaves_nobody_behind() -> None:
    with pytest.raises(EsperError, match="no such hen"):
        crew(0, -1).open()
    assert not [one for one in multiprocessing.active_children() if one.name.startswith(PURPOSE.name)]


def work() -> Callable[[Any], Any]:
    def square(task: int) -> int:
        if task < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return task * task if task else 1 // 0

    return square


def tasks(*numbers: int) -> Iterator[tuple[int, int]]:
    left = iter(numbers)
    with Crew(PURPOSE, [work] * 3) as crew:
        yield from crew.work(lambda: next(left, None))


def test_every_task_is_done_once_and_what_fails_ends_it() -> None:
    assert sorted(tasks(*range(1, 20))) == [(n, n * n) for n in range(1, 20)]
    with pytest.raises(EsperError, match="ZeroDivisionError"):
        list(tasks(1, 0))
    with pytest.raises(EsperError, match=r"ended unexpectedly \(exit status -9\)"):
        list(tasks(1, -1, 2, 3))


def test_the_same_child_is_asked_for_the_rest_of_a_task() -> None:
    left = iter([[3, 2, 1], [5]])

    def begin() -> Callable[[list[int]], list[int]]:
        doing: list[int] = []

        def answer(task: list[int]) -> list[int]:
            doing.extend(task)
            return [doing.pop(0)] if doing else []

        return answer

    with Crew(PURPOSE, [begin] * 2) as crew:
        found = list(crew.work(lambda: next(left, None), lambda answer: [] if answer else None))
    assert sorted(one for _, answer in found for one in answer) == [1, 2, 3, 5]
    assert all(answer[0] in task for task, answer in found if answer)


def test_a_daemon_may_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert may_have_children()
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)  # type: ignore[attr-defined]
    assert not may_have_children()
