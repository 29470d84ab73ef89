"""Errors with their exit status, and calls into the code of others."""

from __future__ import annotations

import signal

import pytest

from esper_core.contracts import errors
from esper_core.contracts.errors import EsperError, Interruption, PluginError, Terminated, UserError
from esper_core.contracts.foreign import UNKNOWN, Owner, close_safely, guarded


class Mute(Exception):
    """An exception that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("again")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("no luck."), "ValueError: no luck."),
        (SystemExit(0), "SystemExit: 0."),
        (BaseException("panicked"), "BaseException: panicked."),
        (Mute(), "Mute."),
    ],
)
def test_whatever_comes_out_names_the_owner(error: BaseException, words: str) -> None:
    with pytest.raises(PluginError) as raised, guarded("loss 'x' (acme 1.0)", "working"):
        raise error
    assert raised.value.message == f"loss 'x' (acme 1.0) failed while working: {words}"
    assert raised.value.__cause__ is error and raised.value.exit_code == 3


@pytest.mark.parametrize("error", [UserError("no"), Interruption(), Terminated(), KeyboardInterrupt()])
def test_errors_of_our_own_and_requests_to_stop_pass(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.default_int_handler)
    with pytest.raises(type(error)) as raised, guarded("x", "working"):
        raise error
    assert raised.value is error


def test_an_interrupt_without_a_signal_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_IGN)
    words = "x failed while working: KeyboardInterrupt"
    with pytest.raises(PluginError, match=words), guarded("x", "working"):
        raise KeyboardInterrupt


def test_what_cannot_be_closed_is_said() -> None:
    said: list[str] = []
    close_safely(Owner("environment 'x'"), lambda: None, said.append)
    close_safely(UNKNOWN["environment"], lambda: 1 / 0, said.append)  # type: ignore[arg-type]
    assert said == [
        "The environment failed while closing: ZeroDivisionError: division by zero. Nothing else is affected."
    ]


def test_every_error_has_its_exit_code() -> None:
    classes = {c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, EsperError)}
    user = ["SlotIdError", "UnknownComponent", "AmbiguousComponent", "IncompatiblePlan", "ConfigError", "Refused"]
    expected = dict.fromkeys(["UserError", *user, "MissingPackage", "RegistryFileError"], 2)
    expected |= {"EsperError": 1, "EpisodesLost": 1, "PluginError": 3, "CheckpointMismatch": 4, "DamagedFile": 4}
    assert {c.__name__: c("Something happened.").exit_code for c in classes} == {**expected, "Interrupted": 130}
