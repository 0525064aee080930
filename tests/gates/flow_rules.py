"""The rules of flows, checked over the syntax tree: a flow that is made but not run does nothing, silently.

1. A function that returns a flow has a name ending in ``_flow``, and nothing else has. Only ``_flow.py``
   defines others: its helpers (``send``, ``sleep``, ...), which alone ``yield``.
2. A flow is made only where it is run or handed on: under ``yield from``, as the value of ``return`` or of a
   lambda, or as the argument of a driver's ``run`` or ``drive``.
3. A function returns a flow or runs flows, not both: in a generator ``return x_flow()`` returns it unrun.
4. No ``yield`` and no ``await`` under a lock.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

Function = ast.FunctionDef | ast.AsyncFunctionDef
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
PAUSES = (ast.Yield, ast.YieldFrom, ast.Await, ast.AsyncFor, ast.AsyncWith)
HELPER_MODULES = {"_flow", "kernel"}
DRIVERS = {"run", "drive"}

# What httpx calls the methods of its authentication classes; those are generators of another kind.
FOREIGN = ("auth_flow", "sync_auth_flow", "async_auth_flow")


class Finding(NamedTuple):
    """One broken rule: the line, and what is wrong there."""

    line: int
    problem: str


def helpers_of(tree: ast.Module) -> frozenset[str]:
    """Return the names of the helper flows that this tree, of ``_flow.py``, defines."""
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    names = (node.name for node in functions if returns_flow(node))
    return frozenset(name for name in names if not name.endswith("_flow"))


def findings(tree: ast.Module, *, helpers: frozenset[str], defines_helpers: bool = False) -> list[Finding]:
    """Return where a module breaks the rules, in the order of its lines."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    makers = helper_names(tree, helpers)
    found: list[Finding] = []
    for node in ast.walk(tree):
        if isinstance(node, Function) and not defines_helpers:
            found += bad_function(node)
        if isinstance(node, ast.Call) and makes_flow(node, makers, parents):
            found += bad_call(node, parents)
        if isinstance(node, ast.With | ast.AsyncWith):
            found += bad_lock(node)
    return sorted(found)


def returns_flow(function: Function) -> bool:
    """Tell whether a function's annotation says that it returns a flow."""
    return function.returns is not None and is_flow(function.returns)


def is_flow(annotation: ast.expr) -> bool:
    """Tell whether an annotation reads ``Flow[...]``, with a module before it, or in quotes, or not."""
    return re.match(r"['\"]?(\w+\.)*Flow(\[|$)", ast.unparse(annotation)) is not None


def helper_names(tree: ast.Module, helpers: frozenset[str]) -> set[str]:
    """Return what the helpers are called here: ``send``, ``kernel.send``, or a name after ``as``."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom):
            continue
        source = (node.module or "").rpartition(".")[2]
        for alias in node.names:
            local = alias.asname or alias.name
            if source in HELPER_MODULES and alias.name in helpers:
                names.add(local)
            if alias.name in HELPER_MODULES:
                names |= {f"{local}.{helper}" for helper in helpers}
    return names


def makes_flow(call: ast.Call, makers: set[str], parents: dict[ast.AST, ast.AST]) -> bool:
    """Tell whether a call makes a flow: by its name, as a helper, or of an argument said to return one."""
    name = ast.unparse(call.func)
    named = name.endswith("_flow") and name.rpartition(".")[2] not in FOREIGN
    return named or name in makers or name in flow_arguments(call, parents)


def flow_arguments(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> set[str]:
    """Return the arguments, of the functions around this node, that are callables returning flows."""
    names: set[str] = set()
    while (node := parents.get(node, node)) in parents:
        if isinstance(node, Function):
            arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            names |= {arg.arg for arg in arguments if arg.annotation and gives_flow(arg.annotation)}
    return names


def gives_flow(annotation: ast.expr) -> bool:
    """Tell whether an annotation is that of a callable returning a flow."""
    return re.match(r"Callable\[.*\bFlow\[", ast.unparse(annotation)) is not None


def bad_function(function: Function) -> Iterator[Finding]:
    """Check rule 1 for one function."""
    named = function.name.endswith("_flow") and function.name not in FOREIGN
    if returns_flow(function) and not named:
        yield Finding(function.lineno, f"{function.name} returns a flow: its name must end in _flow")
    if named and not returns_flow(function):
        yield Finding(function.lineno, f"{function.name} must be annotated to return Flow[...]")
    if returns_flow(function) and any(isinstance(node, ast.Yield) for node in own_nodes(function)):
        yield Finding(function.lineno, f"{function.name} yields an effect itself: use a helper of _flow")


def bad_call(call: ast.Call, parents: dict[ast.AST, ast.AST]) -> Iterator[Finding]:
    """Check rules 2 and 3 for one call that makes a flow."""
    child: ast.AST = call
    parent = parents[call]
    while isinstance(parent, ast.IfExp) and child is not parent.test:
        child, parent = parent, parents[parent]
    name = ast.unparse(call.func)
    if isinstance(parent, ast.Return) and is_generator(scope_of(parent, parents)):
        yield Finding(call.lineno, f"return {name}(...) in a generator hands it back unrun: yield from it")
    elif not is_place_for_flow(child, parent):
        yield Finding(call.lineno, f"{name}(...) is made but not run: it must stand under yield from")


def is_place_for_flow(child: ast.AST, parent: ast.AST) -> bool:
    """Tell whether a flow may be made here."""
    if isinstance(parent, ast.Call):
        return child in parent.args and ast.unparse(parent.func).rpartition(".")[2] in DRIVERS
    return isinstance(parent, ast.YieldFrom | ast.Return | ast.Lambda)


def bad_lock(block: ast.With | ast.AsyncWith) -> Iterator[Finding]:
    """Check rule 4 for one ``with``."""
    if any(is_lock(item.context_expr) for item in block.items):
        body = [line for line in block.body if not isinstance(line, SCOPES)]
        pauses = [node for line in body for node in own_nodes(line) if isinstance(node, PAUSES)]
        yield from (Finding(pause.lineno, "a lock is held while suspended") for pause in pauses)


def is_lock(expression: ast.expr) -> bool:
    """Tell whether an expression names a lock: ``self._lock``, ``locks[key]``, ``table_lock.held()``."""
    words = re.split(r"[\W_]+", ast.unparse(expression).lower())
    return not {"lock", "locks", "mutex", "rlock", "semaphore"}.isdisjoint(words)


def scope_of(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> ast.AST:
    """Return the function that a node stands in."""
    while not isinstance(node, SCOPES):
        node = parents[node]
    return node


def is_generator(function: ast.AST) -> bool:
    """Tell whether a function is a generator."""
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in own_nodes(function))


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and what is below it, without the insides of functions defined there."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, SCOPES):
            yield from own_nodes(child)
