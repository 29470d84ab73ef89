"""Errors of other processes: what was raised there is said here, whatever it was."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import pytest

from esper_core.contracts.errors import ConfigError, EsperError, PluginError
from esper_core.system.processes import Failure, RemoteTraceback, attempted


class KeywordOnly(Exception):
    """Cannot be made again from its arguments, so it comes out of no pickle."""

    def __init__(self, *, width: int) -> None:
        super().__init__(f"no width of {width}")


class Holding(Exception):
    """Goes into no pickle."""

    def __init__(self) -> None:
        super().__init__("it holds a lock")
        self.lock = threading.Lock()


class Unspeakable(Exception):
    """Says nothing, and fails at it."""

    def __str__(self) -> str:
        raise RuntimeError


def failed(error: BaseException) -> EsperError:
    def call() -> None:
        raise error

    failure = pickle.loads(attempted(call))
    assert isinstance(failure, Failure) and __name__ in failure.modules
    return failure.error("The host 'x' (esper-x 1.0)", "training hosts")


def test_what_is_returned_arrives() -> None:
    assert pickle.loads(attempted(lambda: {"a": [1, 2]})) == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeywordOnly(width=3), "KeywordOnly: no width of 3"),
        (Holding(), "Holding: it holds a lock"),
        (SystemExit(0), "SystemExit: 0"),
        (Unspeakable(), "Unspeakable"),
        (KeyError("name"), "KeyError: 'name'"),
    ],
)
def test_whatever_is_raised_is_said(error: BaseException, said: str) -> None:
    arrived = failed(error)
    assert type(arrived) is PluginError
    assert arrived.message == f"The host 'x' (esper-x 1.0) failed while training hosts: {said}."
    assert "--debug" in arrived.hint
    assert isinstance(arrived.__cause__, RemoteTraceback) and "in call" in str(arrived.__cause__)


def test_a_result_that_cannot_be_sent_is_an_error_too() -> None:
    failure = pickle.loads(attempted(threading.Lock))
    assert isinstance(failure, Failure) and "pickle" in failure.said


def test_an_error_of_ours_stays_what_it_is() -> None:
    arrived = failed(ConfigError("No such option.", hint="Leave it out."))
    assert type(arrived) is ConfigError and arrived.exit_code == 2
    assert (arrived.message, arrived.hint) == ("No such option.", "Leave it out.")


def test_a_class_that_is_known_there_alone_comes_back_as_its_base() -> None:
    failure = Failure("", "", (), (("there", "Own"), (ConfigError.__module__, "ConfigError")), "Wrong.", "Do this.", 7)
    arrived: Any = failure.error("", "")
    assert type(arrived) is ConfigError and arrived.exit_code == 7 and str(arrived) == "Wrong.\nDo this."
