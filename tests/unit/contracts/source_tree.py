# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads which file of the collection imports which, in every form that Python has.

All contract tests use this one reader. Files are distinguished by path, so folders may hold files with equal names.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator

ROOT = Path(__file__).parents[3]
PACKAGE = "ansible_collections.criu.hosts"

RUNNING, LAZY, TYPES = "running", "lazy", "types"


@dataclass(frozen=True)
class Import:
    """One imported name.

    Args:
        kind: ``running`` (when the file is loaded), ``lazy`` (inside a function) or ``types`` (for type checkers only).
        module: the dotted name of the module, a relative one made absolute.
        name: the name that is taken from the module; None for a whole module.
        bound: the name that it has in the importing file.
        path: the file of this collection that is loaded; None for all other modules, and for a folder.
    """

    kind: str
    module: str
    name: str | None
    bound: str
    path: Path | None
    line: int

    @property
    def whole(self) -> bool:
        """Whether ``bound`` is the module itself and no name in it."""
        return self.name is None


def _is_types_only(node: ast.AST) -> bool:
    if not isinstance(node, ast.If):
        return False
    test = node.test
    name = test.id if isinstance(test, ast.Name) else test.attr if isinstance(test, ast.Attribute) else ""
    return name == "TYPE_CHECKING"


def import_nodes(tree: ast.AST, kind: str = RUNNING) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    """Yield the import statements below ``tree``, each with its kind."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node, kind
        elif isinstance(node, ast.If) and _is_types_only(node):
            for inner in node.body:
                yield from import_nodes(ast.Module(body=[inner], type_ignores=[]), TYPES)
            for inner in node.orelse:
                yield from import_nodes(ast.Module(body=[inner], type_ignores=[]), kind)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from import_nodes(node, TYPES if kind == TYPES else LAZY)
        else:
            yield from import_nodes(node, kind)


@dataclass(frozen=True)
class SourceTree:
    """The Python files of a collection whose root is ``root`` and whose package is ``package``."""

    root: Path = ROOT
    package: str = PACKAGE

    _parsed: dict[Path, ast.Module] = field(default_factory=dict, compare=False, repr=False)
    _imports: dict[Path, tuple[Import, ...]] = field(default_factory=dict, compare=False, repr=False)

    def files(self, under: str) -> list[Path]:
        """The Python files below the folder ``under``, at any depth."""
        return sorted((self.root / under).rglob("*.py"))

    def parse(self, path: Path) -> ast.Module:
        """The syntax tree of a file."""
        if path not in self._parsed:
            self._parsed[path] = ast.parse(path.read_text(encoding="utf-8"), str(path))
        return self._parsed[path]

    def imports(self, path: Path) -> tuple[Import, ...]:
        """What a file imports.

        Raises:
            LookupError: it imports a module of this collection that does not exist.
        """
        if path not in self._imports:
            nodes = import_nodes(self.parse(path))
            self._imports[path] = tuple(found for node, kind in nodes for found in self._read(path, node, kind))
        return self._imports[path]

    def imported(self, path: Path, *kinds: str) -> set[Path]:
        """The files of the collection that ``path`` imports in one of these ways; without ``kinds``, in any way."""
        return {one.path for one in self.imports(path) if one.path and (not kinds or one.kind in kinds)}

    def reach(self, path: Path, *kinds: str) -> set[Path]:
        """The files that ``path`` imports directly or through others, itself included."""
        reached, waiting = {path}, [path]
        while waiting:
            fresh = self.imported(waiting.pop(), *kinds) - reached
            reached |= fresh
            waiting += fresh
        return reached

    def cycles(self, paths: list[Path], *kinds: str) -> list[set[Path]]:
        """The groups of files that import each other."""
        reach = {path: self.reach(path, *kinds) for path in paths}
        groups: list[set[Path]] = []
        for path in paths:
            group = {other for other in reach[path] if other == path or path in reach.get(other, ())}
            if (len(group) > 1 or path in self.imported(path, *kinds)) and group not in groups:
                groups.append(group)
        return groups

    def _read(self, path: Path, node: ast.Import | ast.ImportFrom, kind: str) -> Iterator[Import]:
        for alias in node.names:
            if isinstance(node, ast.Import):
                # "import a.b" binds a, and loads a.b all the same.
                bound = alias.asname or alias.name.partition(".")[0]
                yield Import(kind, alias.name, None, bound, self._locate(path, alias.name), node.lineno)
                continue
            module = self._absolute(path, node)
            bound = alias.asname or alias.name
            inner = f"{module}.{alias.name}"
            if self._file(inner) or self._is_folder(inner):
                yield Import(kind, inner, None, bound, self._file(inner), node.lineno)
            else:
                yield Import(kind, module, alias.name, bound, self._locate(path, module), node.lineno)

    def _absolute(self, path: Path, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        folders = [self.package, *path.relative_to(self.root).parts[:-1]]
        base = folders[: len(folders) - node.level + 1]
        return ".".join([*base, node.module] if node.module else base)

    def _place(self, module: str) -> Path | None:
        if module == self.package:
            return self.root
        inside = module.startswith(f"{self.package}.")
        return self.root.joinpath(*module[len(self.package) + 1 :].split(".")) if inside else None

    def _file(self, module: str) -> Path | None:
        place = self._place(module)
        if place is None:
            return None
        found = [file for file in (place.with_name(f"{place.name}.py"), place / "__init__.py") if file.is_file()]
        return found[0] if found else None

    def _is_folder(self, module: str) -> bool:
        place = self._place(module)
        return place is not None and place.is_dir()

    def _locate(self, path: Path, module: str) -> Path | None:
        found = self._file(module)
        if found is None and self._place(module) is not None and not self._is_folder(module):
            raise LookupError(f"{path.relative_to(self.root)} imports {module}, which does not exist")
        return found
