"""The small language of ``select``: arithmetic and mean, min, max over metric names.

Python's own parser reads the text; only the node types below are accepted and interpreted, so
nothing of the text is ever executed.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from statistics import fmean
from typing import Any

_BINARY: Mapping[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_CALLS: Mapping[str, Callable[[list[float]], float]] = {"mean": fmean, "min": min, "max": max}
MAX_LENGTH = 300


class ExpressionError(ValueError):
    """The text is not an expression over metrics."""


def parse(text: str) -> ast.expr:
    """The checked syntax tree of ``text``. Raises ExpressionError."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"longer than {MAX_LENGTH} characters")
    try:
        tree = ast.parse(text, mode="eval").body
        _check(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        if isinstance(problem, ExpressionError):
            raise
        raise ExpressionError("not an expression such as mean(unlearned, -accuracy_drop)") from None
    return tree


def _check(node: ast.AST) -> None:
    allowed = "metric names, numbers, + - * /, mean(), min() and max() are allowed"
    match node:
        case ast.Name():
            return
        case ast.Constant(value=value) if type(value) in (int, float):
            return
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            _check(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            _check(left)
            _check(right)
        case ast.Call(func=ast.Name(id=name), args=[_, *_] as args, keywords=[]) if name in _CALLS:
            for arg in args:
                _check(arg)
        case _:
            raise ExpressionError(f"{ast.unparse(node)!r} is not allowed; {allowed}")


def names(node: ast.expr) -> set[str]:
    """The metric names in a checked tree."""
    return set(_names(node))


def _names(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name):
            yield name
        case ast.Call(args=args):
            for arg in args:
                yield from _names(arg)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _names(child)


def evaluate(node: ast.expr, values: Mapping[str, float]) -> float:
    """The value of a checked tree. Raises KeyError for a name that has no value."""
    match node:
        case ast.Name(id=name):
            return values[name]
        case ast.Constant(value=value):
            return float(value)  # type: ignore[arg-type]
        case ast.UnaryOp(operand=operand):
            return -evaluate(operand, values)
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](evaluate(left, values), evaluate(right, values))
        case ast.Call(func=ast.Name(id=name), args=args):
            return _CALLS[name]([evaluate(arg, values) for arg in args])
    raise ExpressionError(f"{ast.unparse(node)!r} is not allowed")


def score(select: Any, values: Mapping[str, float]) -> float:
    """What ``select`` asks to be as large as possible."""
    if select.maximize is not None:
        return evaluate(parse(select.maximize), values)
    return -evaluate(parse(select.minimize), values)
