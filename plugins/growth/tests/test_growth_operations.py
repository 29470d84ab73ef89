"""The fused runtime's operations, in both versions, against plain PyTorch; and what is said without a compiler."""

from __future__ import annotations

import logging

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from esper_core.contracts.errors import UserError
from esper_growth.fused import compiler
from esper_growth.fused.compiler import NoCompiler
from esper_growth.fused.operations import choose
from esper_growth.fused.stock import Stock

CPU = torch.device("cpu")
FLAG = st.booleans()
SIDES = ((1, 1), (3, 5), (2, 2), (4, 4), (2, 8), (8, 8), (6, 10))
QUIET = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def draw(seed, *shapes, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, dtype=dtype, generator=generator).requires_grad_() for shape in shapes]


def same(ours, theirs, inputs, **tolerance):
    """Assert that two outputs and the gradients of a random weighting of them are the same."""
    torch.testing.assert_close(ours, theirs, **tolerance)
    (weights,) = draw(1, theirs.shape, dtype=theirs.dtype)
    gradients = [torch.autograd.grad(output, inputs, weights.detach()) for output in (ours, theirs)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, **tolerance)


@QUIET
@given(st.integers(0, 2**31), st.sampled_from(SIDES), st.integers(1, 3), st.integers(1, 9), st.integers(1, 17))
def test_pointwise_is_a_product_per_sample_and_host(operations, seed, sides, hosts, inputs, outputs):
    size = sides[0] * sides[1]
    x, weight = draw(seed, (2, hosts, inputs, size), (hosts, outputs, inputs))
    same(operations.pointwise(x, weight), torch.einsum("noc,bncs->bnos", weight, x), [x, weight])


@QUIET
@given(
    st.integers(0, 2**31), st.sampled_from(SIDES), st.integers(0, 2), st.integers(1, 3), st.booleans(), st.booleans()
)
def test_norm_is_pytorchs(operations, seed, sides, power, members, relu, pool):
    groups, channels = 2**power, 2**power * members
    x, weight, bias = draw(seed, (3, channels, *sides), (channels,), (channels,))
    pool = pool and sides[0] % 2 == 0 and sides[1] % 2 == 0
    expected = functional.group_norm(x, groups, weight, bias, 1e-5)
    expected = functional.relu(expected) if relu else expected
    expected = functional.max_pool2d(expected, 2) if pool else expected
    ours = operations.norm(x, weight, bias, groups, 1e-5, relu=relu, pool=pool)
    same(ours, expected, [x, weight, bias], rtol=1e-9, atol=1e-9)


@QUIET
@given(st.integers(0, 2**31), st.sampled_from([(4, 4), (6, 8), (2, 10), (8, 8)]), st.booleans())
def test_of_equal_pixels_the_first_gets_the_gradient(operations, seed, sides, relu):
    pixels = torch.randint(0, 3, (2, 2, *sides), generator=torch.Generator().manual_seed(seed)).double()
    # No pixel may come out as 0, where rounding would decide what a ReLU does.
    weight, bias = torch.ones(2, dtype=torch.float64), torch.full((2,), 0.1234, dtype=torch.float64)
    x = pixels.requires_grad_()
    y = functional.group_norm(x, 1, weight, bias, 1e-5)
    expected = functional.max_pool2d(functional.relu(y) if relu else y, 2)
    ours = operations.norm(x, weight, bias, 1, 1e-5, relu=relu, pool=True)
    same(ours, expected, [x], rtol=1e-9, atol=1e-9)


def test_a_pool_of_odd_sides_is_refused(operations):
    # PyTorch's own views refuse them too, in other words.
    with pytest.raises((ValueError, RuntimeError), match=r"even sides, not 7 × 5|invalid"):
        operations.norm(torch.zeros(1, 2, 7, 5), torch.ones(2), torch.zeros(2), 2, 1e-5, relu=False, pool=True)


def test_what_is_not_a_number_stays_so(operations):
    x = torch.randn(1, 2, 4, 4)
    x[0, 0, 1, 1] = torch.nan
    for pool in (False, True):
        y = operations.norm(x, torch.ones(2), torch.zeros(2), 2, 1e-5, relu=True, pool=pool)
        assert y[0, 0].isnan().all() and y[0, 1].isfinite().all()
    y = operations.pointwise(x.view(1, 1, 2, 16), torch.ones(1, 1, 2))
    assert y.isnan().sum() == 1


def test_non_contiguous_tensors_are_read_correctly(operations):
    x, weight, bias = draw(3, (2, 4, 4, 6), (4,), (4,))
    turned = x.transpose(2, 3)
    expected = functional.group_norm(turned, 2, weight, bias, 1e-5)
    same(operations.norm(turned, weight, bias, 2, 1e-5, relu=False, pool=False), expected, [x])


@pytest.fixture
def no_library(monkeypatch, tmp_path):
    """Forget what was compiled, and start from an empty cache."""
    monkeypatch.setenv("ESPER_CACHE", str(tmp_path))
    compiler.load.cache_clear()
    yield tmp_path
    compiler.load.cache_clear()


def test_without_a_compiler_pytorch_is_used_and_it_is_said(no_library, monkeypatch, caplog):
    monkeypatch.setenv("CXX", "/no/such/compiler")
    with caplog.at_level(logging.WARNING):
        assert isinstance(choose("auto", CPU, torch.float32), Stock)
    assert "No C++ compiler was found (looked for CXX=/no/such/compiler)" in caplog.text
    with pytest.raises(NoCompiler, match="No C\\+\\+ compiler"):
        choose("compiled", CPU, torch.float32)


BROKEN = "#!/bin/sh\necho 'kernels.cpp:1: error: no such' >&2\nexit 1\n"
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
        choose("compiled", CPU, torch.float32)
    assert not (no_library / "kernels.cache").exists()


def test_kernels_are_compiled_once(no_library, monkeypatch):
    assert choose("compiled", CPU, torch.float32).name == "compiled"
    (library,) = (no_library / "kernels.cache").glob("*.so")
    compiler.load.cache_clear()
    monkeypatch.setattr(compiler, "_compile", lambda *args: pytest.fail("it is already there"))
    choose("compiled", CPU, torch.float32)
    assert library.exists()


def test_a_cache_that_cannot_be_written_is_a_clear_error(no_library, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ESPER_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(compiler, "_compile", lambda command: b"")
    with pytest.raises(UserError, match="cannot be written or loaded"):
        choose("auto", CPU, torch.float32)


def test_other_number_types_use_pytorch(caplog):
    for dtype in (torch.bfloat16, torch.float64):
        assert choose("auto", CPU, dtype).name == "torch"
    assert choose("auto", torch.device("meta"), torch.float32).name == "torch"
    assert choose("torch", CPU, torch.float32).name == "torch"
    assert not caplog.records, "nothing is amiss"
    with pytest.raises(UserError, match=r"not torch\.bfloat16 on cpu"):
        choose("compiled", CPU, torch.bfloat16)
