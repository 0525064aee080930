"""Find the mutants of a module: by its syntax tree, each with one change, named by place and change."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

from tests.mutants.edits import IN_CONSTANTS, IN_FUNCTIONS, Edit, hashed_parts, verdicts

Named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True, eq=False)
class Mutant:
    """Hold one change of one module.

    ``place`` is where, such as ``_bearer.bearer_token``, and ``change`` what becomes what.

    Both stay as they are while the code around them changes.
    """

    module: str
    place: str
    change: str
    tree: ast.Module = field(repr=False)
    old: ast.AST = field(repr=False)
    new: ast.AST = field(repr=False)

    def code(self) -> CodeType:
        """Return the compiled module with this change."""
        try:
            tree: ast.Module = _Replace(self.old, self.new).visit(self.tree)
            code: CodeType = compile(ast.fix_missing_locations(tree), f"<{self.place}: {self.change}>", "exec")
            return code
        finally:
            _Replace(self.new, self.old).visit(self.tree)


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old = old
        self._new = new

    def visit(self, node: ast.AST) -> Any:
        return self._new if node is self._old else self.generic_visit(node)


def mutants_of(source: str, module: str, only: Collection[str] = ()) -> list[Mutant]:
    """Return the mutants of a module; ``only`` names the functions, classes and constants to look at.

    Raises :class:`LookupError` if one of them is not there.
    """
    tree = ast.parse(source)
    room = module.rpartition(".")[2]
    places = dict(_places(tree, room))
    wanted = [f"{room}.{name}" for name in only]
    if missing := set(wanted).difference(places):
        raise LookupError(f"{module} has no {', '.join(sorted(missing))}")
    chosen = {place: top for place, top in places.items() if not wanted or _is_within(place, wanted)}
    seen: Counter[tuple[str, str]] = Counter()
    found: list[Mutant] = []
    for place, top in chosen.items():
        for old, new, change in _edits_of(top):
            seen[place, change] += 1
            number = seen[place, change]
            said = change if number == 1 else f"{change} ({number})"
            found.append(Mutant(module, place, said, tree, old, new))
    return found


def _is_within(place: str, outer: Collection[str]) -> bool:
    return any(place == name or place.startswith(f"{name}.") for name in outer)


def _places(tree: ast.AST, prefix: str) -> Iterator[tuple[str, ast.AST]]:
    """Yield the name and node of each function, class and constant, those within others too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Named):
            yield f"{prefix}.{node.name}", node
            yield from _places(node, f"{prefix}.{node.name}")
        elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(tree, ast.Module):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            yield f"{prefix}.{ast.unparse(target)}", node


def _edits_of(top: ast.AST) -> Iterator[Edit]:
    kinds: tuple[Callable[[ast.AST], Iterator[Edit]], ...] = IN_CONSTANTS
    if isinstance(top, ast.ClassDef):
        return
    if isinstance(top, ast.FunctionDef | ast.AsyncFunctionDef):
        judges = isinstance(top.returns, ast.Name) and top.returns.id == "bool"
        kinds = (*IN_FUNCTIONS, verdicts) if judges else IN_FUNCTIONS
        yield from hashed_parts(top)
    elif isinstance(getattr(top, "value", None), ast.Subscript | ast.BinOp):
        return  # an alias of a type
    for node in _own_nodes(top):
        for edits in kinds:
            yield from edits(node)


def _own_nodes(top: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a place, without those of functions within it, which are places of their own."""
    for child in ast.iter_child_nodes(top):
        if not isinstance(child, (*Named.__args__, ast.arguments)):
            yield child
            yield from _own_nodes(child)
