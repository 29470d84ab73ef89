"""Compiling the engine for this very processor, once, and loading it."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from esper_core.contracts.errors import EsperError, UserError
from esper_core.system.cache import Cache

NATIVE_CODE = Path(__file__).with_name("native")
SOURCE = NATIVE_CODE / "engine.cpp"
NATIVE = "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"
# With ivopts GCC runs out of registers for addresses, and gradients of weights take twice as long.
FLAGS = ("-std=c++17", "-O3", "-fno-ivopts", NATIVE, "-fno-math-errno", "-Wno-psabi", "-shared", "-fPIC")
COMPILERS = ("c++", "g++", "clang++")
TIMEOUT_SECONDS = 600

CACHE = "engine"
"""Name of the cache of compiled libraries."""


class NoCompiler(EsperError):
    """The engine cannot be compiled here."""


def find_compiler() -> list[str]:
    """Return the command of a C++ compiler: `CXX`, or the first of c++, g++ and clang++.

    Raises:
        NoCompiler: there is none.
    """
    wanted = shlex.split(os.environ.get("CXX", ""))
    found = next(filter(None, map(shutil.which, wanted[:1] or COMPILERS)), None)
    if found is None:
        looked = f"CXX={wanted[0]}" if wanted else ", ".join(COMPILERS)
        raise NoCompiler(f"No C++ compiler was found (looked for {looked}).", hint="Install one, such as g++.")
    return [found, *wanted[1:]]


class Library(NamedTuple):
    """The compiled engine, and a digest of it: it differs by source, compiler, flags and processor."""

    functions: ctypes.CDLL
    digest: str


@functools.cache
def load() -> Library:
    """Return the compiled engine; compiling takes some seconds, once per machine and version.

    Raises:
        NoCompiler: there is no compiler, it cannot be run, or it does not compile them.
        UserError: the cache directory cannot be written.
    """
    compiler = find_compiler()
    cache = Cache.named(CACHE)
    library = cache.folder / f"{_key(compiler)}.so"
    try:
        # Known at once, not after it was compiled.
        cache.folder.parent.mkdir(parents=True, exist_ok=True)
        while True:
            if not library.exists():
                cache.keep(library, _compile(compiler))
            try:
                return Library(ctypes.CDLL(str(library)), hashlib.sha256(library.read_bytes()).hexdigest()[:16])
            except OSError:
                # Somebody may have cleared the cache in between.
                if library.exists():
                    raise
    except OSError as error:
        raise UserError(
            f"The compiled engine {library} cannot be written or loaded: {error}.",
            hint="Set ESPER_CACHE to a directory that can be written, or use -o environment.runtime=loop.",
        ) from error


def _compile(compiler: list[str]) -> bytes:
    """Return the library; several processes may compile at once."""
    with tempfile.TemporaryDirectory(prefix="esper-") as folder:
        library = Path(folder, "engine.so")
        command = [*compiler, *FLAGS, "-o", str(library), str(SOURCE)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise NoCompiler(f"{compiler[0]} did not compile {SOURCE} within {TIMEOUT_SECONDS} s.") from error
        if done.returncode != 0:
            said = done.stderr.strip()
            first = next((line for line in said.splitlines() if "error" in line), said[:200])
            again = shlex.join([*compiler, *FLAGS, "-o", os.devnull, str(SOURCE)])
            raise NoCompiler(f"{compiler[0]} cannot compile {SOURCE}: {first}", hint=f"See: {again}")
        return library.read_bytes()


def _key(compiler: list[str]) -> str:
    """Return a digest of source, flags, compiler and processor: a library made for another one may not run here."""
    try:
        version = subprocess.run([*compiler, "--version"], capture_output=True, check=False).stdout
    except OSError as error:
        raise NoCompiler(f"{compiler[0]} cannot be run: {error}.", hint="Let CXX name a C++ compiler.") from error
    sources = (source.read_bytes() for source in sorted(NATIVE_CODE.iterdir()))
    parts = (*sources, " ".join((*compiler, *FLAGS)).encode(), version, processor().encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def processor() -> str:
    """Return what tells processors apart: model and instruction sets on Linux, else the name of the machine."""
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return f"{platform.machine()} {platform.processor()} {platform.node()}"
    lines = information.read_text().split("\n\n")[0].splitlines()
    return "\n".join(line for line in lines if line.startswith(("model name", "flags", "Features", "CPU ")))
