# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The program of stateful units: our own files as one archive that Python runs. The same files make the same bytes."""

from __future__ import annotations

import importlib.util
import io
import re
import zipfile
from typing import TYPE_CHECKING, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._unit_state_text import FAILED, STOPPING, TERMINATED

if TYPE_CHECKING:
    # Ansible sends with a module all that its files name: the whole program, through this line.
    from ansible_collections.criu.hosts.plugins.module_utils._unit_state_main import main  # noqa: F401

PACKAGE = "ansible_collections.criu.hosts.plugins.module_utils"
FIRST = "_unit_state_main"
START = f"""\
# Of the Ansible collection criu.hosts: starts and stops the container of a stateful unit.
import os
import sys

if sys.argv[1:2] == ["stopped"] and os.environ.get("SERVICE_RESULT") == "success":
    if os.environ.get("EXIT_STATUS", "0") in ("0", "{TERMINATED}") or os.path.exists("{STOPPING}/" + sys.argv[2]):
        sys.exit(0)  # as it should be: do not load the rest for that



def hook(*what):
    sys.__excepthook__(*what)
    sys.stderr.flush()
    os._exit({FAILED})  # Python's own status, 1, is none of a failure here


sys.excepthook = hook

from {PACKAGE}.{FIRST} import main

sys.exit(main(sys.argv))
"""
IMPORT = re.compile(rf"^ *from {re.escape(PACKAGE)}(?:\.(\w+) import |(?= import )).*$", re.MULTILINE)
TYPES_ONLY = re.compile(r"^if TYPE_CHECKING:\n(?:    .*\n|\n)+", re.MULTILINE)
# A zip file can tell no time before this.
EPOCH = (1980, 1, 1, 0, 0, 0)


def imported(source: str) -> Iterator[str]:
    """The names of our own files that ``source`` imports when it runs, also late; not those for types alone."""
    for found in IMPORT.finditer(TYPES_ONLY.sub("", source)):
        if found.group(1):
            yield found.group(1)
        else:  # the files themselves are imported, one in a line: from PACKAGE import _x as x
            yield found.group(0).partition(" import ")[2].split()[0]


def source_of(name: str) -> str:
    """The text of one of our files, wherever it was loaded from: a folder, or the archive that Ansible sends."""
    spec = importlib.util.find_spec(f"{PACKAGE}.{name}")
    get_source = getattr(spec.loader, "get_source", None) if spec is not None else None
    text = get_source(f"{PACKAGE}.{name}") if get_source is not None else None
    if text is None:
        raise ImportError(f"no source of {name}")
    return text


def sources() -> dict[str, str]:
    """The text of each file that the program may load, by its name."""
    found: dict[str, str] = {}
    waiting = [FIRST]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = source_of(name)
            waiting += imported(found[name])
    return found


def packed_program() -> bytes:
    """The archive. It is not compressed, so that another zlib makes no other bytes."""
    files = {"__main__.py": START}
    folder = ""
    for part in PACKAGE.split("."):
        folder += f"{part}/"
        files[f"{folder}__init__.py"] = ""
    files.update({f"{folder}{name}.py": text for name, text in sources().items()})
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])
    return box.getvalue()
