# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the collection, install the archive beside the collections it needs, and let ansible-doc load all of it."""

from __future__ import annotations

import shutil

from common import BUILD, NAME, NAMESPACE, ROOT, Entry, Report, call, environment, main, venv_bin

DIST = BUILD / "dist"
INSTALL = BUILD / "install"


def work() -> int:
    """Build, install, load."""
    report = Report("build")
    shutil.rmtree(DIST, ignore_errors=True)
    shutil.rmtree(INSTALL, ignore_errors=True)
    galaxy = [f"{venv_bin()}/ansible-galaxy", "collection"]
    report.check("build", [*galaxy, "build", "--force", "--output-path", str(DIST)])
    archive = next(DIST.glob("*.tar.gz"), None) if DIST.is_dir() else None
    if archive is None:
        return report.finish()
    report.check("install", [*galaxy, "install", "--offline", "--no-deps", "-p", str(INSTALL), str(archive)])
    installed = INSTALL / "ansible_collections" / NAMESPACE / NAME
    stray = [name for name in (".build", ".git", ".ci") if (installed / name).exists()]
    if stray:
        report.add(Entry("content of the archive", failed=1, notes=[f"must not be in it: {name}" for name in stray]))
    env = {**environment(), "ANSIBLE_COLLECTIONS_PATH": f"{INSTALL}:{BUILD / 'collections'}"}
    env.pop("PYTHONPATH")
    loaders = {"module": [path.stem for path in sorted((ROOT / "plugins/modules").glob("*.py"))]}
    loaders["role"] = [path.parents[1].name for path in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml"))]
    for kind, names in loaders.items():
        for name in names:
            full = f"{NAMESPACE}.{NAME}.{name}"
            argv = [f"{venv_bin()}/ansible-doc", "--json", "--type", kind, full]
            seconds, rc = call_quiet(argv, env)
            report.add(Entry(f"ansible-doc {kind} {full}", passed=int(rc == 0), failed=int(rc != 0), seconds=seconds))
    return report.finish()


def call_quiet(argv: list[str], env: dict[str, str]) -> tuple[float, int]:
    """Run a program whose output goes to a file."""
    log = BUILD / "logs/ansible-doc.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    return call("load", ["sh", "-c", 'exec "$@" >"$0"', str(log), *argv], env=env)


if __name__ == "__main__":
    main(work)
