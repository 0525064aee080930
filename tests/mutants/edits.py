"""The ways to take a security check out of a syntax tree: each yields a node, what takes its place, and the change.

- A condition becomes constant: that of an ``if``, of a conditional expression, the verdict of a function that returns
  a bool; so does each operand of ``and`` and ``or``, and a chain of comparisons loses a link.
- A boundary moves by one: ``<`` becomes ``<=``, and so on.
- A member leaves a list of names: a constant, what ``in`` looks into, what ``for`` goes through.
- A call that only checks is left out; one that returns its argument checked gives it back unchecked.
- ``fullmatch`` becomes ``match``, so that the end is open, or ``search``, so that the beginning is too.
- A field leaves the fields of a hash, or a keyword that says how strict a call is leaves its arguments.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

CHECKS = ("check", "raise_if", "give_up", "begin", "end", "clear", "discard", "on_change")
"""How the names of calls begin that stand as statements of their own and must not be missing."""
RETURNING_CHECKS = ("check_", "checked_", "presented")
"""How the names of functions begin that return their first argument, checked."""
HASHES = ("key_of", "pair_key")
KEYWORDS = frozenset(
    {"object_id", "tenant_id", "check", "asker", "public_only", "assertion", "requested", "secrets", "trust_env"}
    | {"refused", "refusal", "exchangeable", "validate", "object_pairs_hook", "parse_constant", "max_bytes"}
)
"""The keyword arguments that say how strict a call is, or whose something is."""
BOUNDARIES: dict[type[ast.cmpop], tuple[type[ast.cmpop], str]] = {
    ast.Lt: (ast.LtE, "<="),
    ast.LtE: (ast.Lt, "<"),
    ast.Gt: (ast.GtE, ">="),
    ast.GtE: (ast.Gt, ">"),
}

Edit = tuple[ast.AST, ast.AST, str]
N = TypeVar("N", bound=ast.AST)


def conditions(node: ast.AST) -> Iterator[Edit]:
    """Make a condition constant; that of an ``if`` becomes False, for what it does is to refuse or to check more."""
    if isinstance(node, ast.If | ast.IfExp):
        yield _becomes(node.test, value=False)
    if isinstance(node, ast.IfExp):
        yield _becomes(node.test, value=True)
    if isinstance(node, ast.comprehension):
        for index, test in enumerate(node.ifs):
            yield node, _changed(node, ifs=_without(node.ifs, index)), f"if {ast.unparse(test)} -> removed"


def operands(node: ast.AST) -> Iterator[Edit]:
    """Take each operand out of ``and`` and ``or``."""
    if isinstance(node, ast.BoolOp):
        # What stands in for a missing value, as in `text or ""`, is no check.
        for operand in [value for value in node.values if not isinstance(value, ast.Constant)]:
            yield _becomes(operand, value=isinstance(node.op, ast.And))


def comparisons(node: ast.AST) -> Iterator[Edit]:
    """Move each boundary by one, and take each link out of a chain."""
    if not isinstance(node, ast.Compare):
        return
    text = ast.unparse(node)
    for index, operator in enumerate(node.ops):
        if type(operator) in BOUNDARIES:
            other, sign = BOUNDARIES[type(operator)]
            yield node, _changed(node, ops=_with(node.ops, index, other())), f"{text} -> {sign}"
    if len(node.ops) == 2:
        first, second = node.comparators
        yield _link(node, node.left, node.ops[0], first)
        yield _link(node, first, node.ops[1], second)


def _link(node: ast.Compare, left: ast.expr, operator: ast.cmpop, right: ast.expr) -> Edit:
    link = ast.Compare(left, [operator], [right])
    return node, link, f"{ast.unparse(node)} -> {ast.unparse(link)}"


def members(node: ast.AST) -> Iterator[Edit]:
    """Take members out of what ``in`` looks into and ``for`` goes through."""
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
        yield from _members_of(node.comparators[0])
    if isinstance(node, ast.For | ast.comprehension):
        yield from _members_of(node.iter)
    if isinstance(node, ast.Call) and _name(node) == "isdisjoint":
        for argument in node.args:
            yield from _members_of(argument)


def constants(node: ast.AST) -> Iterator[Edit]:
    """Take members out of a constant of the module."""
    yield from _members_of(node)
    if isinstance(node, ast.Dict):
        for index, key in enumerate(node.keys):
            fewer = _changed(node, keys=_without(node.keys, index), values=_without(node.values, index))
            yield node, fewer, f"{ast.unparse(key) if key else '**'} -> removed"


def _members_of(node: ast.AST) -> Iterator[Edit]:
    # Braces without a member would be a dict.
    if isinstance(node, ast.Tuple | ast.List) or (isinstance(node, ast.Set) and len(node.elts) > 1):
        for index, member in enumerate(node.elts):
            yield node, _changed(node, elts=_without(node.elts, index)), f"{ast.unparse(member)} -> removed"


def calls(node: ast.AST) -> Iterator[Edit]:
    """Leave out a call that only checks; take the argument of one that returns it checked."""
    if isinstance(node, ast.Expr):
        called = node.value.value if isinstance(node.value, ast.YieldFrom) else node.value
        if isinstance(called, ast.Call) and _name(called).lstrip("_").startswith(CHECKS):
            yield node, ast.Pass(), f"{ast.unparse(node)} -> removed"
            return
    if isinstance(node, ast.Assign | ast.Return | ast.Call | ast.Attribute | ast.keyword):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Call) and child.args and _name(child).lstrip("_").startswith(RETURNING_CHECKS):
                yield child, child.args[0], f"{ast.unparse(child)} -> {ast.unparse(child.args[0])}"


def matches(node: ast.AST) -> Iterator[Edit]:
    """Let a text match that has more behind it, or before it too."""
    if isinstance(node, ast.Attribute) and node.attr == "fullmatch":
        for looser in ("match", "search"):
            yield node, _changed(node, attr=looser), f"{ast.unparse(node)} -> {looser}"


def hashed(node: ast.AST) -> Iterator[Edit]:
    """Take each field out of a hash."""
    if isinstance(node, ast.Call) and _name(node) in HASHES:
        for index, argument in enumerate(node.args):
            nothing = ast.Constant(value=b"") if _name(node) == "pair_key" else _nothing()
            fewer = _changed(node, args=_with(node.args, index, nothing))
            yield node, fewer, f"{ast.unparse(node)} -> without {ast.unparse(argument)}"
    if isinstance(node, ast.Call) and _name(node) == "sha256":
        for argument in node.args:
            for part in ast.walk(argument):
                yield from _addends(part)


def hashed_parts(top: ast.AST) -> Iterator[Edit]:
    """Take each field out of a tuple that a function makes first and hashes then."""
    calls_of = [node for node in ast.walk(top) if isinstance(node, ast.Call) and _name(node) in (*HASHES, "sha256")]
    names = {node.id for call in calls_of for node in ast.walk(call) if isinstance(node, ast.Name)}
    for node in ast.walk(top):
        if isinstance(node, ast.Assign | ast.AugAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id in names:
                yield from _members_of(node.value)


def _addends(node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.BinOp):
        yield node, node.left, f"{ast.unparse(node)} -> without {ast.unparse(node.right)}"
        if not isinstance(node.left, ast.BinOp):
            yield node, node.right, f"{ast.unparse(node)} -> without {ast.unparse(node.left)}"


def _nothing() -> ast.expr:
    return ast.Starred(ast.Tuple([], ast.Load()), ast.Load())


def keywords(node: ast.AST) -> Iterator[Edit]:
    """Leave out each keyword that says how strict a call is."""
    if isinstance(node, ast.Call):
        for index, keyword in enumerate(node.keywords):
            if keyword.arg in KEYWORDS:
                change = f"{_name(node)}({ast.unparse(keyword)}) -> removed"
                yield node, _changed(node, keywords=_without(node.keywords, index)), change


def verdicts(node: ast.AST) -> Iterator[Edit]:
    """Make a verdict constant, in a function that returns a bool."""
    if isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield _becomes(node.value, value=False)
        yield _becomes(node.value, value=True)


IN_FUNCTIONS: tuple[Callable[[ast.AST], Iterator[Edit]], ...] = (
    *(conditions, operands, comparisons, members, calls, matches, hashed, keywords),
)
IN_CONSTANTS: tuple[Callable[[ast.AST], Iterator[Edit]], ...] = (constants, keywords)


def _becomes(old: ast.expr, *, value: bool) -> Edit:
    return old, ast.Constant(value=value), f"{ast.unparse(old)} -> {value}"


def _changed(node: N, **fields: Any) -> N:
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def _with(values: list[Any], index: int, new: Any) -> list[Any]:
    return [*values[:index], new, *values[index + 1 :]]


def _without(values: list[Any], index: int) -> list[Any]:
    return [*values[:index], *values[index + 1 :]]


def _name(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
