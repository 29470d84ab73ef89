"""Compiling the engine: once, for whatever vectors a processor has, and what is said where that fails."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from esper_core.contracts.errors import UserError
from esper_growth import choice
from esper_growth.choice import choose
from esper_growth.config import GrowthConfig
from esper_growth.engine import compiler
from esper_growth.engine.compiler import NoCompiler
from esper_growth.fused.runtime import FusedRuntime
from esper_growth.one_by_one import EngineRuntime, LoopRuntime
from esper_growth.problems import Problems

ENGINE, AUTO = GrowthConfig(runtime="engine"), GrowthConfig()


@pytest.fixture
def problems(make_context):
    """Return a function that makes the problems of a context."""

    def problems(**chosen):
        parts = make_context(**chosen).parts
        return Problems(parts["task"], parts["host"], parts["blueprint"], 3)

    return problems


@pytest.fixture
def no_library(monkeypatch, tmp_path):
    """Forget what was compiled, and start from an empty cache."""
    monkeypatch.setenv("ESPER_CACHE", str(tmp_path))
    compiler.load.cache_clear()
    yield tmp_path
    compiler.load.cache_clear()


def test_without_a_compiler_hosts_train_in_the_loop_and_it_is_said(no_library, problems, monkeypatch, caplog):
    monkeypatch.setenv("CXX", "/no/such/compiler")
    with caplog.at_level(logging.WARNING):
        assert choose(AUTO, problems(), "float32") is LoopRuntime
    assert "No C++ compiler was found (looked for CXX=/no/such/compiler)" in caplog.text


BROKEN = "#!/bin/sh\necho 'engine.cpp:1: error: no such' >&2\nexit 1\n"
HANGING = '#!/bin/sh\n[ "$1" = --version ] && exit\nexec sleep 60\n'


@pytest.mark.parametrize(
    ("content", "said"), [(BROKEN, "error: no such"), ("text", "Exec format error"), (HANGING, "did not compile")]
)
def test_a_compiler_that_fails_hangs_or_is_no_program_is_named(no_library, monkeypatch, tmp_path, content, said):
    monkeypatch.setattr(compiler, "TIMEOUT_SECONDS", 1)
    broken = tmp_path / "cc"
    broken.write_text(content)
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(NoCompiler, match=said):
        compiler.load()
    assert not (no_library / "engine.cache").exists()


@pytest.mark.slow
def test_it_is_compiled_once(no_library, monkeypatch):
    first = compiler.load().digest
    (library,) = (no_library / "engine.cache").glob("*.so")
    compiler.load.cache_clear()
    monkeypatch.setattr(compiler, "_compile", lambda *args: pytest.fail("it is already there"))
    assert compiler.load().digest == first and library.exists()


def test_a_cache_that_cannot_be_written_is_a_clear_error(no_library, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ESPER_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(compiler, "_compile", lambda command: b"")
    with pytest.raises(UserError, match="cannot be written or loaded"):
        compiler.load()


@pytest.mark.slow
def test_what_is_not_for_the_engine_is_fused_or_refused(problems):
    half = problems(dtype=torch.bfloat16)
    assert choose(AUTO, half, "float32") is choose(AUTO, problems(), "bf16") is FusedRuntime
    assert choose(AUTO, problems(dtype=torch.float64), "float32") is EngineRuntime
    for of, precision in ((half, "float32"), (problems(), "bf16")):
        with pytest.raises(UserError, match=r"environment\.runtime=engine works on the CPU"):
            choose(ENGINE, of, precision)


def test_the_faster_one_is_chosen_measured_once_and_a_choice_is_kept_to(problems, monkeypatch, tmp_path):
    monkeypatch.setenv("ESPER_CACHE", str(tmp_path))
    seconds = {"engine": 2.0, "loop": 1.0}
    monkeypatch.setattr(choice, "_measure", lambda *_: seconds)
    assert choose(AUTO, problems(), "float32") is LoopRuntime
    monkeypatch.setattr(choice, "_measure", lambda *_: pytest.fail("it was measured before"))
    assert choose(AUTO, problems(), "float32") is LoopRuntime
    assert choose(ENGINE, problems(), "float32") is EngineRuntime
    (kept,) = (tmp_path / "runtimes.cache").glob("*.json")
    kept.write_text("{")
    monkeypatch.setattr(choice, "_measure", lambda *_: {"engine": 1.0, "loop": 1.0})
    assert choose(AUTO, problems(), "float32") is EngineRuntime, "a damaged file is measured again"


WIDTHS = {16: "-mno-avx512f -mno-avx2 -mno-avx -mno-fma", 32: "-mno-avx512f", 64: ""}
SANITIZED = "-g -fsanitize=address,undefined -fno-sanitize-recover=all"


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("flags", ["", SANITIZED], ids=["plain", "sanitized"])
def test_the_engine_is_right_with_vectors_of_any_width(tmp_path, width, flags):
    """The tests of the engine, compiled for other vectors, and with the compiler's checks of memory and arithmetic."""
    found = shutil.which("g++")
    if found is None:
        pytest.skip("no g++")
    environment = {**os.environ, "ESPER_CACHE": str(tmp_path), "CXX": f"{found} {WIDTHS[width]} {flags}"}
    if flags:
        libraries = [
            subprocess.run(
                [found, f"-print-file-name={name}"], capture_output=True, text=True, check=True
            ).stdout.strip()
            for name in ("libasan.so", "libubsan.so")
        ]
        # Python's own leaks are none of ours.
        environment |= {"LD_PRELOAD": " ".join(libraries), "ASAN_OPTIONS": "detect_leaks=0"}
    says = [
        sys.executable,
        "-c",
        "from esper_growth.engine.compiler import load; print(load().functions.engine_bytes())",
    ]
    has = subprocess.run(says, env=environment, capture_output=True, text=True, check=False)
    assert has.returncode == 0, has.stderr
    if int(has.stdout) != width:
        pytest.skip(f"this processor has no vectors of {width} bytes")
    tests = Path(__file__).with_name("test_growth_engine.py")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", str(tests)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
