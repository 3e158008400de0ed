# SPDX-License-Identifier: GPL-3.0-or-later
"""Install the collections that galaxy.yml and the lab need in .build/collections, from the Python package ansible.

No Galaxy server is needed: pip downloads the package, and only the folders of these collections are unpacked.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from common import BUILD, ROOT, ToolError, environment, main, say, venv_bin

TARGET = BUILD / "collections"
PIN = ROOT / "requirements/collections.txt"

# In addition to the dependencies in galaxy.yml
FOR_THE_LAB = ("ansible.posix", "community.general")


def declared() -> list[str]:
    """Return the names under ``dependencies:`` in galaxy.yml."""
    text = (ROOT / "galaxy.yml").read_text(encoding="utf-8")
    block = re.search(r"^dependencies:\n((?:[ #].*\n)*)", text, re.MULTILINE)
    return re.findall(r"^ +\"?([a-z0-9_]+\.[a-z0-9_]+)\"?:", block.group(1), re.MULTILINE) if block else []


def unpack(wheel: Path, names: list[str]) -> None:
    """Unpack the collections ``names`` from the package."""
    wanted = tuple(f"ansible_collections/{name.replace('.', '/')}/" for name in names)
    with zipfile.ZipFile(wheel) as archive:
        members = [member for member in archive.namelist() if member.startswith(wanted)]
        missing = [name for name, start in zip(names, wanted) if not any(one.startswith(start) for one in members)]
        if missing:
            raise ToolError(f"{wheel.name} does not contain {', '.join(missing)}. Change the pin in {PIN.name}.")
        archive.extractall(TARGET, members)


def work() -> int:
    """Download and unpack the collections unless the stamp shows that they are current."""
    names = sorted({*declared(), *FOR_THE_LAB})
    key = hashlib.sha256(PIN.read_bytes() + " ".join(names).encode()).hexdigest()
    stamp = TARGET / "stamp"
    if stamp.exists() and stamp.read_text(encoding="ascii") == key:
        return 0
    say(f"-- collections: installing {', '.join(names)}")
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    pip = [str(venv_bin() / "python"), "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        argv = [*pip, "--dest", folder, "-r", str(PIN)]
        if subprocess.run(argv, env=environment(), check=False).returncode:
            raise ToolError("pip download of the package ansible failed. See the output above.")
        unpack(next(Path(folder).glob("ansible-*.whl")), names)
    stamp.write_text(key, encoding="ascii")
    return 0


if __name__ == "__main__":
    main(work)
