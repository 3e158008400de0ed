# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a failure may carry: its ``reason``, and the facts beside it.

A failure is made by calling CheckpointError or a class made from it. A word may come through a parameter ``reason``,
the field ``reason`` of another class, or the attribute ``reason`` of another failure; facts may come through ``**`` of
dictionaries, also of parameters and fields. Any other way raises Unreadable, so that no failure goes unseen.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import partial
from typing import Iterable, Iterator

from ansible_collections.criu.hosts.tests.unit.contracts.call_graph import CallGraph, FunctionNode, Unit

ERROR = "CheckpointError"
FACTS = "facts"


class Unreadable(Exception):
    """A failure is made in a way that this reader does not follow."""


@dataclass
class Found:
    """The words and keys, each with the units that give it."""

    reasons: dict[str, set[str]] = field(default_factory=dict)
    facts: dict[str, set[str]] = field(default_factory=dict)


def _parameters(function: FunctionNode) -> list[str]:
    every = function.args
    return [argument.arg for argument in (*every.posonlyargs, *every.args, *every.kwonlyargs)]


def _defaults(function: FunctionNode) -> Iterator[tuple[str, ast.AST]]:
    every = function.args
    positional = [*every.posonlyargs, *every.args]
    yield from zip((one.arg for one in positional[len(positional) - len(every.defaults) :]), every.defaults)
    yield from ((one.arg, value) for one, value in zip(every.kwonlyargs, every.kw_defaults) if value is not None)


def fields_of(class_: ast.ClassDef) -> list[str]:
    """The fields of a dataclass, in order."""
    return [
        node.target.id for node in class_.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]


def _takes_facts(target: Unit | None) -> bool:
    """Whether a function has ``**facts``, which become those of a failure."""
    kwarg = target.function.args.kwarg if target is not None and target.function else None
    return kwarg is not None and kwarg.arg == FACTS


class Reader:
    """Reads the failures of the units that a module reaches."""

    def __init__(self, graph: CallGraph, units: Iterable[Unit]) -> None:
        self.graph = graph
        self.units = list(units)
        self.found = Found()
        # Words in the field "reason" of other classes, and the classes whose field becomes that of a failure.
        self._held: list[tuple[Unit, Unit, ast.AST]] = []
        self._handed: set[Unit | None] = set()
        self._known: dict[Unit, bool] = {}

    def read(self) -> Found:
        """Read every unit."""
        for unit in self.units:
            for node in unit.live:
                if isinstance(node, ast.Call):
                    self._call(unit, node)
                elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
                    self._later(unit, node.value, node.slice)
            for name, value in _defaults(unit.function) if unit.function else ():
                if name == "reason":
                    self._note(self.found.reasons, self._words(unit, value), unit)
        for holder, unit, value in self._held:
            if self._handed & {holder, None}:
                self._note(self.found.reasons, self._words(unit, value), unit)
        return self.found

    def _call(self, unit: Unit, call: ast.Call) -> None:
        target = self.graph.target(unit, call.func)
        target = target if isinstance(target, Unit) else None
        if isinstance(call.func, ast.Attribute) and call.func.attr == "setdefault" and call.args:
            self._later(unit, call.func.value, call.args[0])
        error = self._makes_error(unit, call, target)
        reason = self._argument(call, target, "reason")
        if reason is not None and (error or self._hands_on(unit, call, target)):
            self._note(self.found.reasons, self._words(unit, reason, error=error), unit)
        elif reason is not None and target is not None and target.class_:
            self._held.append((target, unit, reason))
        named = _parameters(target.function) if target and target.function else ["message", "reason", "completed"]
        for keyword in call.keywords if error or _takes_facts(target) else ():
            if keyword.arg is None:
                self._note(self.found.facts, self._keys(unit, keyword.value), unit)
            elif keyword.arg not in named:
                self._note(self.found.facts, [keyword.arg], unit)

    def _hands_on(self, unit: Unit, call: ast.Call, target: Unit | None) -> bool:
        """A call of a function whose parameter ``reason`` becomes that of a failure."""
        if target is None and isinstance(call.func, ast.Attribute):
            return any(self._hands_on(unit, call, one) for one in self.units if one.name.endswith(f".{call.func.attr}"))
        if target is None or target.function is None or "reason" not in _parameters(target.function):
            return False
        if target not in self._known:
            self._known[target] = False  # a function that calls itself
            calls = [node for node in ast.walk(target.function) if isinstance(node, ast.Call)]
            self._known[target] = any(map(partial(self._passes, target), calls))
        return self._known[target]

    def _passes(self, unit: Unit, call: ast.Call) -> bool:
        """Whether a call in a function gets the function's own ``reason`` and makes a failure of it."""
        inner = self.graph.target(unit, call.func)
        inner = inner if isinstance(inner, Unit) else None
        reason = self._argument(call, inner, "reason")
        own = isinstance(reason, ast.Name) and reason.id == "reason"
        return own and (self._makes_error(unit, call, inner) or self._hands_on(unit, call, inner))

    def _makes_error(self, unit: Unit, call: ast.Call, target: Unit | None) -> bool:
        """A call of an error's class, or of the ``__init__`` above it."""
        if target is None and isinstance(call.func, ast.Attribute) and call.func.attr == "__init__" and unit.owner:
            target = self.graph.units(unit.path)[unit.owner]
        return target is not None and any(base.name == ERROR for base in self.graph.bases(target))

    def _argument(self, call: ast.Call, target: Unit | None, name: str) -> ast.AST | None:
        for keyword in call.keywords:
            if keyword.arg == name:
                return keyword.value
        names: list[str] = []
        if target is not None and target.function:
            names = _parameters(target.function)[1 if target.owner else 0 :]
        elif target is not None and target.class_:
            inits = [self.graph.units(base.path).get(f"{base.name}.__init__") for base in self.graph.bases(target)]
            init = next((one for one in inits if one and one.function), None)
            names = _parameters(init.function)[1:] if init and init.function else fields_of(target.class_)
        place = names.index(name) if name in names else len(call.args)
        return call.args[place] if place < len(call.args) else None

    def _given(self, target: Unit, name: str) -> Iterator[tuple[Unit, ast.AST]]:
        """What the calls of a function or class give for a parameter or field. Methods are found by their name."""
        method = target.name.partition(".")[2]
        for unit in self.units:
            for call in (node for node in unit.live if isinstance(node, ast.Call)):
                called = self.graph.target(unit, call.func)
                by_name = (
                    method and called is None and isinstance(call.func, ast.Attribute) and call.func.attr == method
                )
                value = self._argument(call, target, name) if called == target or by_name else None
                if value is not None:
                    yield unit, value

    def _words(self, unit: Unit, value: ast.AST, *, error: bool = False) -> Iterator[str]:
        """The words that an argument ``reason`` may be."""
        if isinstance(value, ast.Constant):
            yield from [value.value] if isinstance(value.value, str) and value.value else []
        elif isinstance(value, ast.IfExp):
            yield from self._words(unit, value.body, error=error)
            yield from self._words(unit, value.orelse, error=error)
        elif isinstance(value, ast.Attribute) and value.attr == "reason":
            own = isinstance(value.value, ast.Name) and value.value.id == "self" and unit.owner
            if error:
                self._handed.add(self.graph.units(unit.path)[unit.owner] if own else None)
        elif isinstance(value, ast.Name) and unit.function and value.id in _parameters(unit.function):
            if value.id != "reason":
                raise Unreadable(f"{unit.path.name}: {unit.name}: the parameter {value.id!r} must be called reason")
        else:
            raise Unreadable(f"{unit.path.name}: {unit.name}: reason={ast.unparse(value)}")

    def _keys(self, unit: Unit, value: ast.AST) -> Iterator[str]:
        """The keys of a dictionary that becomes facts."""
        if isinstance(value, ast.Dict):
            for key, inner in zip(value.keys, value.values):
                if isinstance(key, ast.Constant):
                    yield str(key.value)
                elif key is None:
                    yield from self._keys(unit, inner)
                else:
                    raise Unreadable(f"{unit.path.name}: {unit.name}: {{{ast.unparse(key)}: ...}}")
        elif isinstance(value, ast.Constant) and value.value is None:
            return
        elif isinstance(value, ast.BoolOp):
            for one in value.values:
                yield from self._keys(unit, one)
        elif isinstance(value, ast.Name) and unit.function:
            kwarg = unit.function.args.kwarg
            if value.id in _parameters(unit.function):
                for other, given in self._given(unit, value.id):
                    yield from self._keys(other, given)
            elif not (value.id == FACTS and kwarg and kwarg.arg == FACTS):
                yield from self._local_keys(unit, unit.function, value.id)
        elif isinstance(value, ast.Attribute) and ast.unparse(value.value) == "self" and value.attr in self._own(unit):
            for other, given in self._given(self.graph.units(unit.path)[unit.owner], value.attr):
                yield from self._keys(other, given)
        elif isinstance(value, ast.Call):
            target = self.graph.target(unit, value.func)
            if not (isinstance(target, Unit) and target.function):
                raise Unreadable(f"{unit.path.name}: {unit.name}: **{ast.unparse(value)}")
            for node in ast.walk(target.function):
                if isinstance(node, ast.Return) and node.value is not None:
                    yield from self._keys(target, node.value)
        elif not (isinstance(value, ast.Attribute) and value.attr == FACTS):
            raise Unreadable(f"{unit.path.name}: {unit.name}: **{ast.unparse(value)}")

    def _own(self, unit: Unit) -> list[str]:
        """The fields of the class that a method belongs to."""
        owner = self.graph.units(unit.path).get(unit.owner)
        return fields_of(owner.class_) if owner and owner.class_ else []

    def _local_keys(self, unit: Unit, function: FunctionNode, name: str) -> Iterator[str]:
        """The keys that a function puts into its variable ``name``."""
        seen = False
        for node in ast.walk(function):
            for target, value in _assignments(node):
                if isinstance(target, ast.Name) and target.id == name:
                    seen = True
                    yield from self._keys(unit, value)
                elif isinstance(target, ast.Subscript) and ast.unparse(target.value) == name:
                    yield from self._keys(unit, ast.Dict([target.slice], [value]))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == f"{name}.update":
                for value in node.args:
                    yield from self._keys(unit, value)
        if not seen:
            raise Unreadable(f"{unit.path.name}: {unit.name}: **{name} has no value here")

    def _later(self, unit: Unit, place: ast.expr, key: ast.expr) -> None:
        """``error.facts[key] = ...``."""
        if isinstance(place, ast.Attribute) and place.attr == FACTS:
            self._note(self.found.facts, self._keys(unit, ast.Dict([key], [place])), unit)

    def _note(self, into: dict[str, set[str]], words: Iterable[str], unit: Unit) -> None:
        for word in words:
            into.setdefault(word, set()).add(f"{unit.path.stem}.{unit.name}")


def _assignments(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """The pairs of target and value of a statement, also of ``a, b = 1, 2``."""
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        yield node.target, node.value
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                yield from zip(target.elts, node.value.elts)
            else:
                yield target, node.value


def failures(graph: CallGraph, units: Iterable[Unit]) -> Found:
    """What the failures of these units carry."""
    return Reader(graph, units).read()
