# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the collection archive, install it, and load every module and role of it with ansible-doc."""

from __future__ import annotations

import json
import shutil
import subprocess

from common import BUILD, NAME, NAMESPACE, ROOT, Entry, Report, environment, main, venv_bin

DIST = BUILD / "dist"
INSTALL = BUILD / "install"
OF_ANSIBLE = "/ansible/_internal/ansible_collections/"


def work() -> int:
    """Build the archive, install it, check its content and load it."""
    report = Report("build")
    shutil.rmtree(DIST, ignore_errors=True)
    shutil.rmtree(INSTALL, ignore_errors=True)
    galaxy = [f"{venv_bin()}/ansible-galaxy", "collection"]
    report.check("build", [*galaxy, "build", "--force", "--output-path", str(DIST)])
    archive = next(DIST.glob("*.tar.gz"), None) if DIST.is_dir() else None
    if archive is None:
        return report.finish()
    paths = f"{INSTALL}:{BUILD / 'collections'}"
    install = [*galaxy, "install", "--offline", "--no-deps", "--force", "-p", str(INSTALL), str(archive)]
    report.check("install", install, ANSIBLE_COLLECTIONS_PATH=paths)
    installed = INSTALL / "ansible_collections" / NAMESPACE / NAME
    stray = [f"must not be in the archive: {name}" for name in (".build", ".git", ".ci") if (installed / name).exists()]
    report.add(Entry("content of the archive", int(not stray), int(bool(stray)), notes=stray))
    env = {**environment(), "ANSIBLE_COLLECTIONS_PATH": paths}
    env.pop("PYTHONPATH")
    modules = [path.stem for path in sorted((ROOT / "plugins/modules").glob("*.py"))]
    roles = [path.parents[1].name for path in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml"))]
    for kind, names in (("module", modules), ("role", roles)):
        for entry in load(kind, [f"{NAMESPACE}.{NAME}.{name}" for name in names], env):
            report.add(entry)
    return report.finish()


def load(kind: str, names: list[str], env: dict[str, str]) -> list[Entry]:
    """Load plugins of one kind from the installed collection with ansible-doc, which must not print a warning."""
    if not names:
        return [Entry(f"ansible-doc, {kind}", failed=1, notes=[f"the collection has no {kind}"])]
    argv = [f"{venv_bin()}/ansible-doc", "--json", "--type", kind, *names]
    done = subprocess.run(argv, env=env, cwd=BUILD, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout) if done.returncode == 0 else {}
    entries = []
    for name in names:
        good = bool(found.get(name)) and "error" not in found[name]
        said = [line for line in done.stderr.splitlines() if line.strip()][-4:]
        entries.append(Entry(f"ansible-doc, {kind} {name}", int(good), int(not good), notes=[] if good else said))
    # ansible-core 2.21 warns of a collection of its own, which has no version.
    warned = [line for line in done.stderr.splitlines() if "WARNING]" in line and OF_ANSIBLE not in line]
    entries.append(Entry(f"ansible-doc, {kind}, no warnings", int(not warned), int(bool(warned)), notes=warned[:8]))
    return entries


if __name__ == "__main__":
    main(work)
