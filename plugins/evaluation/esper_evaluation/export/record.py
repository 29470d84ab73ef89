"""What modules do, as Python source.

A network is run once on tensors that have shapes but no values, and a number of samples that is a symbol. Every call of
torch is written down as it happens, module by module. Whatever else a module does in Python, such as looking at shapes,
looping or choosing by its options, has then been done, and leaves no trace but its result.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import inspect
import keyword
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from attrs import define, field
from torch import Tensor, nn
from torch._dispatch.python import enable_python_dispatcher
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
from torch.overrides import TorchFunctionMode

from esper_evaluation.export import calls, values
from esper_evaluation.export.places import place, tensors
from esper_evaluation.export.shorten import shortened
from esper_evaluation.export.values import SIZES, Untraceable

RESERVED = {"self", "torch", "nn", "max", "min", "abs", "int", "float"}
"""Names that a variable cannot have, for they mean something else in a forward."""

TRACED = torch.device("cpu")
EXAMPLES = 3
"""Samples of the example; not 0 or 1, for which torch may take other ways."""


class Unwritable(Exception):
    """A module that cannot be written down."""

    def __init__(self, module: nn.Module, reason: str) -> None:
        super().__init__(reason)
        self.module, self.reason = module, reason


def record(network: nn.Module, sample: Tensor, layers: Collection[nn.Module]) -> dict[nn.Module, str]:
    """Return `def forward(self, …)` of every module that is called; its children are called, not entered.

    Args:
        network: What is run, as it computes in its present mode.
        sample: One sample `[1, …]`, on the CPU.
        layers: Modules whose forward nobody needs to know.

    Raises:
        Unwritable: what a module does depends on the values it is given or on the number of samples, or it is not made
            of torch's functions.
    """
    shapes = ShapeEnv(duck_shape=False)
    fake = FakeTensorMode(allow_non_fake_inputs=True, shape_env=shapes)
    dynamic = [DimDynamic.DYNAMIC, *(DimDynamic.STATIC for _ in sample.shape[1:])]
    examples = sample.expand(EXAMPLES, *sample.shape[1:])
    inputs = fake.from_tensor(examples, symbolic_context=StatelessSymbolicContext(dynamic_sizes=dynamic))
    recorder = _Recorder(layers, inputs)
    try:
        with recorder.watching(network), torch.no_grad(), enable_python_dispatcher(), fake, recorder:
            network(inputs)
    except Unwritable:
        raise
    except Exception as error:
        module = recorder.frames[-1].module if recorder.frames else network
        reason = str(error) if isinstance(error, Untraceable) else _reason(error)
        raise Unwritable(module, reason) from error
    return recorder.forwards


def _reason(error: Exception) -> str:
    """Return in a line why a forward failed on tensors without values."""
    kind, text = type(error).__name__, str(error).strip().partition("\n")[0].rstrip(".")
    if kind in ("GuardOnDataDependentSymNode", "DataDependentOutputException"):
        return "what it does depends on the values that it is given"
    return f"it cannot be run on tensors without values ({kind}: {text})"


@define
class _Frame:
    """A module whose forward is being run.

    Attributes:
        silent: Nobody needs to know what it does.
        inputs: Names of its arguments that are written down.
        arguments: What it was called with, for each of them.
        ordered: A step changed a value in place, so that all steps must stay where they are.
        versions: Tensors that it was called with, each with how often it had been changed in place.
    """

    module: nn.Module
    silent: bool
    versions: list[tuple[Tensor, int]]
    inputs: list[str] = field(factory=list)
    arguments: list[Any] = field(factory=list)
    body: list[ast.stmt] = field(factory=list)
    ordered: bool = False
    _fixed: set[str] = field(factory=set)
    _names: dict[int, ast.expr] = field(factory=dict)
    _sizes: dict[str, ast.expr] = field(factory=dict)
    _taken: set[str] = field(factory=lambda: set(RESERVED))
    _kept: list[Tensor] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        if not self.silent:
            for name, tensor in tensors(self.module).items():
                self._names.setdefault(id(tensor), place(self.module, name))

    def take(self, arguments: Mapping[str, inspect.Parameter], bound: Mapping[str, Any]) -> None:
        """Name the arguments that hold tensors or sizes; all others are constants of the module's."""
        for name, value in bound.items():
            if not values.contains(value, (Tensor, *SIZES)):
                continue
            if arguments[name].kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
                raise Untraceable("its forward takes more than plain arguments")
            self.inputs.append(self.fresh(name))
            self.arguments.append(value)
            self.bind(value, ast.Name(self.inputs[-1], ast.Load()))

    def fresh(self, name: str) -> str:
        """Return a name that no variable has, like the one given."""
        base = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_") or "part"
        base = base if base.isidentifier() and not keyword.iskeyword(base) else f"part_{base}"
        taken, found, number = self._taken, base, 1
        while found in taken:
            found, number = f"{base}_{number}", number + 1
        taken.add(found)
        return found

    def bind(self, value: Any, expression: ast.expr) -> None:
        """Remember the expression of a value: of its tensors, of its sizes, and of what a collection holds."""
        if isinstance(value, Tensor):
            self._names[id(value)] = expression
            self._kept.append(value)
            for dimension, size in enumerate(value.size()):
                shape = ast.Attribute(expression, "shape", ast.Load())
                self.bind(size, ast.Subscript(shape, ast.Constant(dimension), ast.Load()))
        elif isinstance(value, torch.SymInt):
            times, symbol = value.node.expr.as_coeff_Mul()
            if symbol.is_Symbol and times.is_Integer:
                once = expression if times == 1 else ast.BinOp(expression, ast.FloorDiv(), ast.Constant(int(times)))
                self._sizes.setdefault(symbol.name, once)
        elif isinstance(value, dict | tuple | list):
            for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
                self.bind(entry, ast.Subscript(expression, ast.Constant(key), ast.Load()))

    def known(self, value: object) -> bool:
        """Return whether a value is a tensor that has a name."""
        return id(value) in self._names

    def distinct(self, value: Any) -> Any:
        """Return a value, or another view of a tensor that has a name, so that what is called so can be told apart."""
        if not self.known(value):
            return value
        with torch._C.DisableTorchFunction():
            return value.view_as(value)

    def write(self, value: Any) -> ast.expr:
        """Return the expression of a value."""
        return copy.deepcopy(values.written(value, self._special))

    def _special(self, value: Any) -> ast.expr:
        if isinstance(value, torch.device):
            # Where the first of its arguments lies, so that the network can be moved.
            first = next((a for a in self.arguments if isinstance(a, Tensor)), None)
            if value != TRACED or first is None:
                raise Untraceable(f"it names the device '{value}'")
            return ast.Attribute(self.write(first), "device", ast.Load())
        if isinstance(value, SIZES):
            return values.size(value, self._sizes)
        if id(value) not in self._names:
            shape = ", ".join(map(str, value.shape))
            raise Untraceable(f"it uses a tensor [{shape}] that is neither its own nor made by torch's functions")
        return self._names[id(value)]

    def assign(self, base: str, expression: ast.expr, value: Any, *, fixed: bool = False) -> None:
        """Write down an expression under a new name, which keeps its line if `fixed`, and remember what it gave."""
        name = self.fresh(base)
        self._fixed |= {name} if fixed else set()
        self.body.append(ast.Assign([ast.Name(name, ast.Store())], expression, lineno=0))
        self.bind(value, ast.Name(name, ast.Load()))

    def forward(self, output: Any) -> str:
        """Return the source of the forward that ended with an output."""
        body: Sequence[ast.stmt] = [*self.body, ast.Return(self.write(output))]
        body = body if self.ordered else shortened(body, self._fixed)
        lines = [f"    {line}" for entry in body for line in ast.unparse(ast.fix_missing_locations(entry)).split("\n")]
        return "\n".join([f"def forward({', '.join(['self', *self.inputs])}):", *lines]) + "\n"


class _Recorder(TorchFunctionMode):
    """Writes down what the modules of a network do.

    Attributes:
        frames: Modules that are being run, the innermost last.
        forwards: Module → source of its forward.
    """

    def __init__(self, layers: Collection[nn.Module], inputs: Tensor) -> None:
        super().__init__()
        self.frames: list[_Frame] = []
        self.forwards: dict[nn.Module, str] = {}
        self._layers, self._inputs = layers, inputs

    @contextlib.contextmanager
    def watching(self, network: nn.Module) -> Iterator[None]:
        """See the modules of a network enter and leave their forward."""
        with contextlib.ExitStack() as handles:
            for module in network.modules():
                enter = module.register_forward_pre_hook(self._enter, prepend=True, with_kwargs=True)
                leave = module.register_forward_hook(self._leave, with_kwargs=True)
                handles.callback(enter.remove)
                handles.callback(leave.remove)
            yield

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        frame = self.frames[-1] if self.frames else None
        if frame is None or frame.silent:
            return func(*args, **kwargs)
        if func is Tensor.__setitem__:
            target, index, value = (frame.write(argument) for argument in args)
            func(*args)
            frame.ordered = True
            frame.body.append(ast.Assign([ast.Subscript(target, index, ast.Store())], value, lineno=0))
            return None
        before = _versions((args, kwargs))
        result = func(*args, **kwargs)
        if not values.contains(result, Tensor):
            return result
        expression = calls.statement(
            func, [frame.write(a) for a in args], {name: frame.write(a) for name, a in kwargs.items()}
        )
        changed = _changed(before)
        frame.ordered |= changed
        if changed and frame.known(result):
            frame.body.append(ast.Expr(expression))
            return result
        result = frame.distinct(result)
        frame.assign(calls.name_of(func), expression, result)
        return result

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        outer = self.frames[-1] if self.frames else None
        silent = module in self._layers or (outer is not None and outer.silent)
        frame = _Frame(module, silent, _versions((args, kwargs)))
        self.frames.append(frame)
        signature = inspect.signature(module.forward)
        if not frame.silent:
            frame.take(signature.parameters, signature.bind(*args, **kwargs).arguments)

    def _leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        frame = self.frames[-1]
        count: Any = self._inputs.size(0)
        if isinstance(count, int) or count.node.maybe_as_int() is not None:
            raise Untraceable("it works for one number of samples alone")
        if not frame.silent:
            source = frame.forward(output)
            if self.forwards.setdefault(module, source) != source:
                raise Untraceable("it does something else when it is called again")
        self.frames.pop()
        outer = self.frames[-1] if self.frames else None
        if outer is None or outer.silent:
            return output
        changed = _changed(frame.versions)
        outer.ordered |= changed
        output = output if changed else outer.distinct(output)
        self._call(outer, frame, args, kwargs, output)
        return output

    def _call(self, outer: _Frame, frame: _Frame, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Write down that one module called another."""
        name = next((n for n, m in outer.module.named_modules(remove_duplicate=False) if m is frame.module), None)
        if not name:
            self.frames.append(frame)
            raise Untraceable("it is called by a module that it is no part of")
        given, named = (list(args), kwargs) if frame.silent else (frame.arguments, {})
        expression = ast.Call(
            place(outer.module, name),
            [outer.write(value) for value in given],
            [ast.keyword(key, outer.write(value)) for key, value in named.items()],
        )
        outer.assign(name.replace(".", "_"), expression, output, fixed=True)


def _versions(value: Any) -> list[tuple[Tensor, int]]:
    """Return the tensors of a collection, each with how often it has been changed in place."""
    if isinstance(value, Tensor):
        return [(value, value._version)]
    entries = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
    return [pair for entry in entries for pair in _versions(entry)]


def _changed(versions: list[tuple[Tensor, int]]) -> bool:
    return any(tensor._version != version for tensor, version in versions)
