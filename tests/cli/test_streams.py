"""Standard streams: one document for machines whatever plugins print, and readers that go away."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.resuming import SMALL, lines_of, only_run
from tests.command import environment

COMMAND = f"{sys.executable} -m esper_core.cli.app"


def shell(folder: Path, shared: Path, line: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", line]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment(shared))


LOUD = """
import atexit, ctypes, os, subprocess, sys
libc = ctypes.CDLL(None)
print("loud: print")
sys.__stdout__.write("loud: the stream as Python began with it\\n")
os.write(1, b"loud: descriptor\\n")
libc.puts(b"loud: C, never flushed")
subprocess.run(["echo", "loud: program"])
if os.fork() == 0:
    os.write(1, b"loud: forked\\n")
    os._exit(0)
os.wait()
atexit.register(print, "loud: at the end")
from esper_core import hookimpl
"""
WAYS = ("print", "the stream", "descriptor", "C, never", "program", "forked", "at the end")


@pytest.mark.parametrize("arguments", [("plugins", "list", "--json"), ("train", "--policy", "lstm-v1", "--dry-run")])
def test_standard_output_is_one_document_however_plugins_print(process, install, arguments):
    done = process(*arguments, path=install("acme-loud", LOUD))
    assert done.returncode == 0 and json.loads(done.stdout)
    assert all(f"loud: {way}" in done.stderr for way in WAYS)


def test_a_reader_that_goes_away_is_met_with_silence_and_its_status(tmp_path, shared):
    done = shell(tmp_path, shared, f"{COMMAND} policy show lstm-v1 | head -1; exit ${{PIPESTATUS[0]}}")
    assert done.stdout.startswith("lstm-v1") and done.stderr == ""
    assert done.returncode in (0, 141), "it may have written all before its reader left"
    done = shell(tmp_path, shared, f"({COMMAND} plugins list; echo $? >&2) | true")
    assert done.stderr == "141\n"


@pytest.mark.parametrize("arguments", ["plugins list --json", "--help"])
def test_a_full_disk_under_standard_output_is_one_sentence(tmp_path, shared, arguments):
    done = shell(tmp_path, shared, f"{COMMAND} {arguments} > /dev/full")
    assert done.returncode == 1
    assert done.stderr == "Error: Standard output cannot be written: No space left on device.\n"


def test_a_run_whose_result_cannot_be_printed_is_kept(tmp_path, shared):
    words = shlex.join(["train", "--policy", "lstm-v1", "--slots", "1", "--updates", "1", *SMALL])
    done = shell(tmp_path, shared, f"{COMMAND} {words} > /dev/full")
    path = only_run(tmp_path / "runs")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.endswith(f"The run is kept: esper runs show runs/{path.name}\n") and lines_of(path)


@pytest.mark.parametrize(
    ("line", "status"), [("runs show nothing 2> /dev/full", 2), ("plugins list >&-", 0), ("plugins list 2>&-", 0)]
)
def test_nobody_to_tell_is_no_error(tmp_path, shared, line, status):
    done = shell(tmp_path, shared, f"{COMMAND} {line}")
    assert (done.returncode, done.stderr) == (status, "")
