"""The two files of an export: weights, and the module that loads them."""

from __future__ import annotations

import importlib.util
import keyword
import math
import tempfile
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from torch import nn

from esper_core.contracts.errors import EsperError, PluginError, UserError
from esper_core.contracts.foreign import described
from esper_core.contracts.grown import Grown
from esper_core.policy.cost import Cost, count
from esper_core.system.files import check_creatable, create_synced, rename, writing
from esper_evaluation.export.places import tensors
from esper_evaluation.export.source import module_source

CLASS = "GrownNetwork"
ELSEWHERE = "Choose another place."
FIRST_LINE = '"""A network that was grown, and needs torch alone.'
TOLERANCE = 1e-6
"""Largest difference of outputs, relative to the largest of them where that is above 1."""

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""Types of numbers by their names in a file of safetensors."""

_HEADER = (
    FIRST_LINE + '\n\n{about}"""\n\nimport json\nfrom pathlib import Path\n\nimport torch\nfrom torch import nn\n\n\n'
)

_LOAD = """

DTYPES = {dtypes}


def load(path=Path(__file__).with_suffix(".safetensors")):
    \"\"\"Return the network with its weights, ready to be used.\"\"\"
    # The file holds the length of its header, the header in JSON, and the numbers.
    data = bytearray(Path(path).read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {{}}
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            first, last = (start + offset for offset in entry["data_offsets"])
            tensors[name] = torch.frombuffer(data[first:last], dtype=DTYPES[entry["dtype"]]).reshape(entry["shape"])
    network = {name}()
    network.load_state_dict(tensors)
    return network.eval()
"""

_REPORT = "What was recorded of a module does not say all that it does. Report this to the plugin's author."


@frozen
class Exported:
    """What was written.

    Attributes:
        parts: What each of its children costs.
        difference: Largest difference between the outputs of what was loaded again and of what was grown.
    """

    weights: Path
    source: Path
    cost: Cost
    parts: list[Cost]
    difference: float


def export_paths(out: Path) -> tuple[Path, Path]:
    """Return where weights and source go for a file, with either suffix or none.

    Raises:
        UserError: Python could not import a module of that name, there is no such folder, or it would be written over
            a file that is not an export.
    """
    stem = out.with_suffix("") if out.suffix in (".py", ".safetensors") else out
    if not stem.name.isidentifier() or keyword.iskeyword(stem.name):
        raise UserError(f"'{stem.name}' cannot be the name of a Python module.", hint="Use grown.py, for example.")
    if not stem.parent.is_dir():
        raise UserError(f"There is no folder {stem.parent}.", hint="Make it, or choose another.")
    weights, source = stem.with_suffix(".safetensors"), stem.with_suffix(".py")
    mark = FIRST_LINE.encode()
    for path in (weights, source):
        with writing(path, ELSEWHERE):
            check_creatable(path)
            if path.exists() and not (source.is_file() and source.read_bytes().startswith(mark)):
                raise UserError(f"{path} is there already, and was not written by an export.", hint=ELSEWHERE)
    return weights, source


def write_export(grown: Grown, out: Path) -> Exported:
    """Write a grown network, load it again, and compare.

    Raises:
        UserError: `out` is not a place for a Python module.
        PluginError: a module that cannot be written down, or that computes something else when it is loaded.
        EsperError: a file cannot be written.
    """
    from safetensors.torch import save

    weights, source = export_paths(out)
    cost, parts = count(grown.network, grown.inputs[:1])
    text = source_text(grown, cost, parts, source.stem)
    # A file holds every tensor by itself, also where two are one.
    state = {
        name: value.detach().clone(memory_format=torch.contiguous_format)
        for name, value in tensors(grown.network).items()
    }
    with writing(source, ELSEWHERE), tempfile.TemporaryDirectory(dir=out.parent) as folder:
        # Both files are tried out before they take their place.
        for path, content in ((weights, save(state, {"format": "pt"})), (source, text.encode())):
            create_synced(Path(folder) / path.name, content)
        difference = _compare(grown, Path(folder) / source.name)
        for path in (weights, source):
            rename(Path(folder) / path.name, path, within=source.parent)
    return Exported(weights, source, cost, parts, difference)


def source_text(grown: Grown, cost: Cost, parts: list[Cost], module: str) -> str:
    """Return the Python module: what it is, the classes, and `load`."""
    kinds = {value.dtype for value in tensors(grown.network).values()}
    unknown = kinds - set(_DTYPES.values())
    if unknown:
        raise PluginError(f"Numbers of type {', '.join(map(str, unknown))} cannot be exported.")
    dtypes = ", ".join(f'"{name}": {kind}' for name, kind in _DTYPES.items() if kind in kinds)
    table = "\n".join(f"    {part.name:16} {part.parameters:>9,} {part.flops:>13,}" for part in parts)
    shape = ", ".join(["batch", *(str(size) for size in grown.inputs.shape[1:])])
    about = (
        f"    from {module} import load\n\n"
        f"    network = load()  # reads {module}.safetensors beside this file\n\n"
        f"It maps inputs [{shape}] to outputs [{', '.join(['batch', *(str(s) for s in grown.outputs.shape[1:])])}].\n\n"
        f"    part             parameters  operations of a sample\n{table}\n"
        f"    {'all':16} {cost.parameters:>9,} {cost.flops:>13,}\n"
    )
    classes = module_source(grown.network, CLASS, grown.notes, grown.inputs[:1])
    return _HEADER.format(about=about) + classes + _LOAD.format(dtypes=f"{{{dtypes}}}", name=CLASS)


@torch.no_grad()
def _compare(grown: Grown, source: Path) -> float:
    """Load what was written and return how far its outputs are from those of the grown network.

    Raises:
        PluginError: it cannot be run, or its outputs differ, for all samples or for one alone.
    """
    one = grown.inputs[:1]
    try:
        loaded = _load(source)
        pairs = ((loaded(grown.inputs), grown.outputs), (loaded(one), grown.network(one)))
    except Exception as error:
        raise PluginError(f"The source of the network does not run: {described(error)}.", hint=_REPORT) from error
    for found, expected in pairs:
        difference = float((found - expected).abs().max()) if found.shape == expected.shape else math.inf
        if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
            raise PluginError(
                f"The source of the network computes something else: outputs differ by up to {difference:.2g}.",
                hint=_REPORT,
            )
    return float((pairs[0][0] - grown.outputs).abs().max())


def _load(source: Path) -> nn.Module:
    spec = importlib.util.spec_from_file_location(f"_esper_export_{source.stem}", source)
    if spec is None or spec.loader is None:
        raise EsperError(f"{source} cannot be loaded.")
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network: nn.Module = module.load()
    return network
