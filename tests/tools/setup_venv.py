# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the virtual environment .build/NAME from requirements/FILE, unless it exists and the file is unchanged.

setup_venv.py NAME FILE
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from common import BUILD, LAB, LINK, ROOT, ToolError, environment, main, say, venv_bin

sys.path.insert(0, str(LAB.parent))

import zip_bytecode

FLOOR = (3, 11)


def check_python() -> None:
    """Fail with advice if this Python is too old or lacks ensurepip."""
    if sys.version_info < FLOOR:
        wanted = ".".join(map(str, FLOOR))
        raise ToolError(
            f"Cannot make the environment: Python {wanted} or newer is needed, and this is {sys.version.split()[0]}. "
            f"Run make PYTHON=python{wanted}."
        )
    if importlib.util.find_spec("ensurepip") is None:
        raise ToolError(
            "Cannot make the environment: python3-venv is not installed. Run `make deps` as root, or "
            "apt-get install python3-venv."
        )


def make_link() -> None:
    """Link the checkout into .build, so that Ansible and Python find the collection by its name."""
    LINK.parent.mkdir(parents=True, exist_ok=True)
    if not LINK.is_symlink() or LINK.resolve() != ROOT:
        LINK.unlink(missing_ok=True)
        LINK.symlink_to(os.path.relpath(ROOT, LINK.parent))


def make_venv(name: str, file: str) -> None:
    """Recreate the environment unless its stamp matches the requirements and this Python."""
    requirements = ROOT / "requirements" / file
    sources = requirements.read_bytes() + Path(zip_bytecode.__file__).read_bytes()
    key = hashlib.sha256(sources + sys.version.encode() + str(ROOT).encode()).hexdigest()
    folder = BUILD / name
    stamp = folder / "stamp"
    if stamp.exists() and stamp.read_text(encoding="ascii") == key:
        return
    check_python()
    say(f"-- {name}: installing requirements/{file}")
    shutil.rmtree(folder, ignore_errors=True)
    env = {key: value for key, value in environment(name).items() if key != "PYTHONPATH"}
    for argv in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(venv_bin(name) / "python"), "-m", "pip", "install", "--quiet", "-r", str(requirements)],
    ):
        if subprocess.run(argv, env=env, check=False).returncode:
            raise ToolError(f"{argv[0]} {' '.join(argv[1:4])} failed. See the output above.")
    # The plays of the unit tests run modules on this machine.
    zip_bytecode.install(str(next(folder.glob("lib/python*/site-packages"))))
    stamp.write_text(key, encoding="ascii")


def work() -> int:
    """Read the command line, link the checkout and make the environment."""
    if len(sys.argv) != 3:
        raise ToolError("usage: setup_venv.py NAME FILE")
    make_link()
    make_venv(sys.argv[1], sys.argv[2])
    return 0


if __name__ == "__main__":
    main(work)
