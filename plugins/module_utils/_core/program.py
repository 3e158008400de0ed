# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Packs files of the collection into one archive that Python runs without Ansible; the same files, the same bytes."""

from __future__ import annotations

import ast
import importlib
import io
import zipfile
from functools import cache
from typing import Iterator

PACKAGE = "ansible_collections.criu.hosts.plugins.module_utils"
# The earliest time that a zip file can hold.
EPOCH = (1980, 1, 1, 0, 0, 0)


def _running(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yields the statements of a file, functions included, without the blocks that only type checkers read."""
    waiting: list[ast.AST] = [*tree.body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.stmt):
            yield node
        for block in ("body", "orelse", "finalbody", "handlers"):
            waiting += getattr(node, block, ())


@cache
def imported(source: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Returns the imports below PACKAGE that ``source`` makes when it runs, lazy ones too: a name, and names in it."""
    return tuple(
        ((node.module or "")[len(PACKAGE) + 1 :], tuple(alias.name for alias in node.names))
        for node in _running(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(f"{PACKAGE}.")
    )


def source_of(name: str) -> str | None:
    """Returns the text of the file ``name`` below PACKAGE, from a folder or from the archive that Ansible sends.

    It is None if there is no such file, as for a folder. The loader reads an archive; to find the file by way of
    importlib would compile it.
    """
    package = importlib.import_module(PACKAGE)
    loader = package.__spec__.loader if package.__spec__ else None
    read = getattr(loader, "get_data", None) or _read
    try:
        text: bytes = read(f"{package.__path__[0]}/{name.replace('.', '/')}.py")
    except OSError:
        return None
    return text.decode()


def _read(path: str) -> bytes:
    with open(path, "rb") as handle:
        return handle.read()


def sources(first: str) -> dict[str, str]:
    """Returns the text of ``first`` and of each file that it may load, by its name below PACKAGE."""
    read = cache(source_of)
    found: dict[str, str] = {}
    waiting = [first]
    while waiting:
        name = waiting.pop()
        text = read(name)
        if text is None:
            raise ImportError(f"no source of {name}")
        found[name] = text
        for module, names in imported(text):
            # From a folder, files are imported.
            files = [module] if read(module) is not None else [f"{module}.{one}".lstrip(".") for one in names]
            waiting += [one for one in files if one not in found and one not in waiting]
    return found


def packed_program(first: str, start: str) -> bytes:
    """Returns the archive of ``first`` and all that it may load, with ``start`` as the text that Python runs.

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
