# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Packs files of the collection into one archive that Python runs without Ansible; the same files, the same bytes."""

from __future__ import annotations

import ast
import importlib.util
import io
import zipfile
from typing import Iterator

PACKAGE = "ansible_collections.criu.hosts.plugins.module_utils"
# The earliest time that a zip file can hold.
EPOCH = (1980, 1, 1, 0, 0, 0)


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a file, functions included, without the blocks that only type checkers read."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        waiting += ast.iter_child_nodes(node)


def imported(source: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What ``source`` imports from below PACKAGE when it runs, lazy imports included: a name there, and names in it."""
    for node in _running(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(f"{PACKAGE}."):
            yield (node.module or "")[len(PACKAGE) + 1 :], tuple(alias.name for alias in node.names)


def source_of(name: str) -> str | None:
    """The text of the file ``name`` below PACKAGE, in a folder or in the archive that Ansible sends; None for a folder.

    Raises:
        ImportError: there is neither.
    """
    spec = importlib.util.find_spec(f"{PACKAGE}.{name}" if name else PACKAGE)
    if spec is None:
        raise ImportError(f"no source of {name}")
    if spec.submodule_search_locations is not None or spec.loader is None:
        return None
    text: str | None = spec.loader.get_source(spec.name)  # type: ignore[attr-defined]
    return text


def sources(first: str) -> dict[str, str]:
    """The text of ``first`` and of each file that it may load, by its name below PACKAGE."""
    found: dict[str, str] = {}
    waiting, folders = [first], set()
    while waiting:
        name = waiting.pop()
        text = source_of(name)
        if text is None:
            raise ImportError(f"no source of {name}")
        found[name] = text
        for module, names in imported(text):
            if module not in found and module not in folders and source_of(module) is None:
                folders.add(module)
            files = [f"{module}.{one}".lstrip(".") for one in names] if module in folders else [module]
            waiting += [one for one in files if one not in found and one not in waiting]
    return found


def packed_program(first: str, start: str) -> bytes:
    """The archive of ``first`` and all that it may load, with ``start`` as the text that Python runs.

    It is not compressed, so that another zlib makes no other bytes.
    """
    top = PACKAGE.replace(".", "/")
    files = {f"{top}/{name.replace('.', '/')}.py": text for name, text in sources(first).items()}
    for path in list(files):
        parts = path.split("/")
        files.update({"/".join([*parts[:depth], "__init__.py"]): "" for depth in range(1, len(parts))})
    files["__main__.py"] = start
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])
    return box.getvalue()
