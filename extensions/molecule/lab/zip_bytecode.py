# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the bytecode of Python files in zip archives, as Python does for files in folders.

Ansible sends each module as a zip archive whose files Python compiles at every call: half of a call's time, which
emulation makes ten times longer. zip_bytecode.pth beside this file loads it whenever Python starts. Modules must not
notice it: after an error here, Python compiles as it does without this file.
"""

# Only modules that every start of Python has loaded before: each further one would take time in all programs.
import _imp
import marshal
import os
import sys
import zipimport

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__pycache__", "zip_bytecode")
LINE = "import zip_bytecode; zip_bytecode.keep()\n"


def install(site: str) -> None:
    """Copy this file into a folder of Python packages, with the .pth file that loads it."""
    with open(__file__, "rb") as source, open(os.path.join(site, "zip_bytecode.py"), "wb") as copy:
        copy.write(source.read())
    with open(os.path.join(site, "zip_bytecode.pth"), "w", encoding="ascii") as handle:
        handle.write(LINE)


def keep(folder: str = FOLDER) -> None:
    """Have zipimport compile each source only once for all processes; its bytecode is kept in a folder."""
    plain = getattr(zipimport, "_compile_source", None)
    if plain is None:
        return

    code_type = type(keep.__code__)

    def compile_source(pathname: str, source: bytes) -> object:
        # By this hash Python itself recognizes the source of a .pyc file (PEP 552).
        name = f"{sys.implementation.cache_tag}-{_imp.source_hash(0, source).hex()}-{len(source)}"
        path = os.path.join(folder, name)
        try:
            with open(path, "rb") as handle:
                code = marshal.load(handle)  # noqa: S302 -- only the owner of the packages writes into the folder
        except (OSError, EOFError, ValueError, TypeError):
            code = None
        if isinstance(code, code_type):
            return code
        code = plain(pathname, source)
        part = f"{path}.{os.getpid()}"
        try:
            os.makedirs(folder, exist_ok=True)
            with open(part, "wb") as handle:
                marshal.dump(code, handle)
            os.rename(part, path)
        except OSError:
            pass
        return code

    # A private name of the standard library, which mypy does not know
    zipimport._compile_source = compile_source  # type: ignore[attr-defined]
