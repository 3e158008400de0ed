# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds what a function can reach: each mention of a name outside of an annotation counts as a call.

A method is reached when its name and its class are mentioned, and what stands below ``if isinstance(x, CLASS)`` when
CLASS is made somewhere. The graph follows failures: what a ``try`` keeps from its caller is not reached.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Iterator, Union

from ansible_collections.criu.hosts.tests.unit.contracts.source_tree import TYPES, SourceTree

Function = (ast.FunctionDef, ast.AsyncFunctionDef)
FunctionNode = Union[ast.FunctionDef, ast.AsyncFunctionDef]


@dataclass(frozen=True)
class Unit:
    """A function, a method (``CLASS.NAME``), a class without its methods, or what binds a name at the top of a file.

    A part of a function for instances of one class is a unit of its own (``NAME[CLASS]``).
    """

    path: Path
    name: str
    nodes: tuple[ast.AST, ...] = field(compare=False, repr=False)
    owner: str = ""
    function: FunctionNode | None = field(default=None, compare=False, repr=False)

    @cached_property
    def live(self) -> tuple[ast.AST, ...]:
        """The nodes that run, and whose failures leave the unit."""
        return tuple(node for top in self.nodes for node in live(top))

    @property
    def class_(self) -> ast.ClassDef | None:
        node = self.nodes[0]
        return node if isinstance(node, ast.ClassDef) else None


def swallows(handler: ast.ExceptHandler) -> bool:
    """Whether a handler ends a CheckpointError: it neither raises nor keeps more of it than its message."""
    caught = (
        {leaf.id for leaf in ast.walk(handler.type) if isinstance(leaf, ast.Name)} if handler.type else {"Exception"}
    )
    if not caught & {"CheckpointError", "Exception", "BaseException"}:
        return False
    nodes = list(ast.walk(handler))
    messages = {node.value for node in nodes if isinstance(node, ast.Attribute) and node.attr == "message"}
    kept = [node for node in nodes if isinstance(node, ast.Name) and node.id == handler.name and node not in messages]
    return not kept and not any(isinstance(node, ast.Raise) for node in nodes)


def _checks(node: ast.AST) -> ast.Call | None:
    """The node if it is ``isinstance(..., ...)``."""
    call = node if isinstance(node, ast.Call) else None
    return call if call and isinstance(call.func, ast.Name) and call.func.id == "isinstance" else None


def live(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below ``node`` that run, and whose failures leave it. What isinstance guards is left out."""
    yield node
    for name, value in ast.iter_fields(node):
        children = value if isinstance(value, list) else [value]
        if name in ("annotation", "returns") or (name == "type" and isinstance(node, ast.ExceptHandler)):
            continue
        if name == "body" and isinstance(node, ast.Try) and any(map(swallows, node.handlers)):
            continue
        if name == "body" and isinstance(node, ast.If) and _checks(node.test):
            continue
        for child in children[:1] if name == "args" and _checks(node) else children:
            method = isinstance(node, ast.ClassDef) and isinstance(child, Function)
            if isinstance(child, ast.AST) and not method:
                yield from live(child)


def _locals(function: FunctionNode) -> set[str]:
    """The names that mean something of the function's own: its parameters and what it assigns, but for inner scopes."""
    every = function.args
    arguments = [*every.posonlyargs, *every.args, *every.kwonlyargs, every.vararg, every.kwarg]
    found = {argument.arg for argument in arguments if argument}
    waiting: list[ast.AST] = list(function.body)
    scopes = (*Function, ast.ClassDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        if not isinstance(node, scopes):
            waiting += ast.iter_child_nodes(node)
    return found


def _units(path: Path, tree: ast.Module) -> Iterator[Unit]:
    tables: dict[str, list[ast.AST]] = {}
    for node in tree.body:
        if isinstance(node, (*Function, ast.ClassDef)):
            yield Unit(path, node.name, (node,), function=node if isinstance(node, Function) else None)
            inner = [one for one in node.body if isinstance(node, ast.ClassDef) and isinstance(one, Function)]
            yield from (Unit(path, f"{node.name}.{one.name}", (one,), node.name, one) for one in inner)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for name in {leaf.id for target in targets for leaf in ast.walk(target) if isinstance(leaf, ast.Name)}:
                tables.setdefault(name, []).append(node)
    yield from (Unit(path, name, tuple(nodes)) for name, nodes in tables.items())


class CallGraph:
    """The units of a source tree, and who mentions whom."""

    def __init__(self, tree: SourceTree) -> None:
        self.tree = tree
        self._files: dict[Path, dict[str, Unit]] = {}
        self._hidden: dict[Unit, set[str]] = {}
        self._guards: dict[Unit, list[tuple[Unit | None, Unit]]] = {}
        self._known: dict[Unit, tuple[set[Unit], set[str]]] = {}

    def units(self, path: Path) -> dict[str, Unit]:
        """The units of a file by their names."""
        if path not in self._files:
            self._files[path] = {unit.name: unit for unit in _units(path, self.tree.parse(path))}
        return self._files[path]

    def resolve(self, path: Path, name: str) -> Unit | Path | None:
        """What ``name`` means at the top of a file: a unit, a file (a module by its name), or nothing of ours."""
        found = self.units(path).get(name)
        if found is not None:
            return found
        for one in self.tree.imports(path):
            if one.bound == name and one.kind != TYPES and one.path is not None:
                return one.path if one.whole else self.resolve(one.path, one.name or "")
        return None

    def bases(self, unit: Unit) -> Iterator[Unit]:
        """A class and the classes of ours that it is made from."""
        yield unit
        for node in unit.class_.bases if unit.class_ else ():
            base = self.target(unit, node)
            if isinstance(base, Unit):
                yield from self.bases(base)

    def target(self, unit: Unit, node: ast.AST) -> Unit | Path | None:
        """What a name or ``module.name`` means in a unit."""
        if isinstance(node, ast.Name):
            if unit not in self._hidden:
                self._hidden[unit] = _locals(unit.function) if unit.function else set()
            return None if node.id in self._hidden[unit] else self.resolve(unit.path, node.id)
        if isinstance(node, ast.Attribute):
            module = self.target(unit, node.value)
            return self.resolve(module, node.attr) if isinstance(module, Path) else None
        return None

    def mentions(self, unit: Unit) -> tuple[set[Unit], set[str]]:
        """The units that a unit mentions, and the names that may be those of methods."""
        if unit not in self._known:
            units, names = self._known.setdefault(unit, (set(), set()))
            for node in unit.live:
                found = self.target(unit, node)
                if isinstance(found, Unit):
                    units.add(found)
                elif isinstance(node, ast.Attribute):
                    names.add(node.attr)
        return self._known[unit]

    def reach(self, path: Path, name: str) -> set[Unit]:
        """The units that the function ``name`` of a file reaches, itself included."""
        reached: set[Unit] = set()
        names: set[str] = set()
        waiting = {self.units(path)[name]}
        while waiting:
            while waiting:
                unit = waiting.pop()
                reached.add(unit)
                units, more = self.mentions(unit)
                names |= more
                waiting |= units - reached
            methods = {one for owner in reached if owner.class_ for one in self._methods(owner, names)}
            waiting = (methods | self._guarded(reached)) - reached
        return reached

    def _guarded(self, reached: set[Unit]) -> set[Unit]:
        """The parts of functions for instances of classes that are made."""
        return {part for unit in reached for class_, part in self._parts(unit) if class_ is None or class_ in reached}

    def _parts(self, unit: Unit) -> list[tuple[Unit | None, Unit]]:
        """The parts of a unit that isinstance guards, each with the class; None for a class of others."""
        if unit not in self._guards:
            guards = [(node, _checks(node.test)) for node in unit.live if isinstance(node, ast.If)]
            self._guards[unit] = parts = []
            for node, check in guards:
                kinds = check.args[1] if check else ast.Tuple([])
                for kind in kinds.elts if isinstance(kinds, ast.Tuple) else [kinds]:
                    class_ = self.target(unit, kind)
                    name = f"{unit.name}[{ast.unparse(kind)}, line {node.lineno}]"
                    part = Unit(unit.path, name, tuple(node.body), unit.owner, unit.function)
                    parts.append((class_ if isinstance(class_, Unit) else None, part))
        return self._guards[unit]

    def _methods(self, owner: Unit, names: set[str]) -> set[Unit]:
        """The methods of a class that are called: by these names, or by Python."""
        own = [one for one in self.units(owner.path).values() if one.owner == owner.name]
        return {one for one in own if (name := one.name.partition(".")[2]) in names or name.startswith("__")}
