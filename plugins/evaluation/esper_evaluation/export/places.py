"""Where in a module its parts and its tensors are."""

from __future__ import annotations

import ast

from torch import Tensor, nn


def tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return every tensor of a module and its parts by dotted name: parameters, buffers and plain attributes."""
    found = {}
    for prefix, part in module.named_modules(remove_duplicate=False):
        for name, tensor in own_tensors(part).items():
            found[f"{prefix}.{name}" if prefix else name] = tensor
    return found


def own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the tensors that belong to a module itself, parameters first."""
    held = {**module._parameters, **module._buffers, **vars(module)}
    return {name: tensor for name, tensor in held.items() if isinstance(tensor, Tensor)}


def is_sequence(module: object) -> bool:
    """Return whether a module is, whatever its name, the `nn.Sequential` of its parts and nothing more."""
    if not isinstance(module, nn.Sequential) or type(module).forward is not nn.Sequential.forward:
        return False
    changed = own_tensors(module) or module._forward_hooks or module._forward_pre_hooks
    return not changed and list(module._modules) == [str(i) for i in range(len(module._modules))]


def place(module: nn.Module, name: str) -> ast.expr:
    """Return the expression of a part or a tensor of a module by its dotted name, from `self` on, in its own class."""
    expression: ast.expr = ast.Name("self", ast.Load())
    owner: object = module
    for step in name.split("."):
        if isinstance(owner, nn.ModuleDict | nn.ParameterDict):
            expression = ast.Subscript(expression, ast.Constant(step), ast.Load())
        elif type(owner) in (nn.ModuleList, nn.ParameterList) or (owner is not module and is_sequence(owner)):
            expression = ast.Subscript(expression, ast.Constant(int(step)), ast.Load())
        elif step.isdigit():
            getter = ast.Attribute(expression, "get_submodule", ast.Load())
            expression = ast.Call(getter, [ast.Constant(step)], [])
        else:
            expression = ast.Attribute(expression, step, ast.Load())
        owner = getattr(owner, step) if not isinstance(owner, nn.ModuleDict | nn.ParameterDict) else owner[step]
    return expression
