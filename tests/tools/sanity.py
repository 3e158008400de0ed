# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ansible-test sanity, of the oldest ansible-core the tests that depend on it, on a copy of the collection: a git
checkout in the folder that ansible-test requires.

ansible-test makes a small virtual environment for each of its tests and downloads a script that installs pip in them.
A few lines of this program, with a wheel of pip from the package index, replace that script.

sanity.py [ARGUMENT...]    with arguments of ansible-test sanity, such as --test pylint
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from common import (
    BUILD,
    HOME,
    NAME,
    NAMESPACE,
    ROOT,
    Entry,
    Report,
    ToolError,
    call,
    environment,
    junit_entry,
    main,
    tracked_files,
    venv_bin,
)

SANITY = BUILD / "sanity"
COPY = SANITY / "ansible_collections" / NAMESPACE / NAME
JUNIT = COPY / "tests/output/junit"

# The tests whose results depend on the release of ansible-core; the others check style, by the rules of the newest.
OF_CORE = tuple(
    f"--test={name}"
    for name in ("action-plugin-docs", "ansible-doc", "compile", "import", "runtime-metadata", "validate-modules")
)

BOOTSTRAP = '''"""Installs the packages in the arguments with pip from the wheel beside this file."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), {wheel!r}))
from pip._internal.cli.main import main

names = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
sys.exit(main(["install", *names]))
'''


def sync() -> None:
    """Update the copy from the checkout; write only files that differ."""
    if not (COPY / ".git").is_dir():
        COPY.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "init", "--quiet", str(COPY)], check=True)
    wanted = tracked_files()
    for file in wanted:
        source, target = ROOT / file, COPY / file
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_bytes() != source.read_bytes():
            shutil.copyfile(source, target)
        shutil.copymode(source, target)
    git = ["git", "-C", str(COPY)]
    listed = subprocess.run([*git, "ls-files", "-z"], check=True, stdout=subprocess.PIPE, text=True).stdout
    for name in set(filter(None, listed.split("\0"))) - {str(file) for file in wanted}:
        (COPY / name).unlink(missing_ok=True)
    subprocess.run([*git, "add", "--all"], check=True)
    author = ["-c", "user.name=make sanity", "-c", "user.email=sanity@localhost", "-c", "commit.gpgsign=false"]
    subprocess.run([*git, *author, "commit", "--quiet", "--allow-empty", "--message", "copy"], check=True)


def bootstrap(venv: str) -> None:
    """Put the script that installs pip where ansible-test keeps the downloaded one."""
    package = next((BUILD / venv / "lib").glob("python3*/site-packages/ansible_test"))
    source = (package / "_internal/python_requirements.py").read_text(encoding="utf-8")
    found = re.search(r"pip='([0-9.]+)'", source)
    if not found:
        raise ToolError(
            "Cannot prepare ansible-test: it names no version of pip. Check get_venv_packages in ansible_test."
        )
    cache = HOME / ".ansible/test/cache"
    wheel = f"pip-{found.group(1)}-py3-none-any.whl"
    cache.mkdir(parents=True, exist_ok=True)
    if not (cache / wheel).exists():
        argv = [f"{venv_bin()}/python", "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(cache)]
        if subprocess.run([*argv, f"pip=={found.group(1)}"], env=environment(), check=False).returncode:
            raise ToolError("pip download of pip failed. See the output above.")
    script = cache / f"get_pip_{found.group(1).replace('.', '_')}.py"
    script.write_text(BOOTSTRAP.format(wheel=wheel), encoding="utf-8")


def usable_path(venv: str) -> str:
    """Return a search path on which ansible-test finds every Python of this machine.

    The launchers of a version manager do not work for a Python that is not selected, so its real folders are used.
    """
    folders = []
    for folder in environment(venv)["PATH"].split(":"):
        programs = [one for one in Path(folder).glob("python3.*") if re.fullmatch(r"python3\.\d+", one.name)]
        if all(subprocess.run([one, "-c", ""], capture_output=True, check=False).returncode == 0 for one in programs):
            folders.append(folder)
    if shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=False).stdout.strip()
        folders += [str(one) for one in sorted(Path(root).glob("versions/*/bin"))]
    return ":".join(folders)


def run(name: str, venv: str, arguments: list[str]) -> Entry:
    """Prepare the ansible-test of one of the environments, run it and count its results."""
    bootstrap(venv)
    shutil.rmtree(JUNIT, ignore_errors=True)
    env = {**environment(venv), "PATH": usable_path(venv), "PIP_QUIET": "1"}
    env.pop("PYTHONPATH")
    env.pop("ANSIBLE_COLLECTIONS_PATH")
    argv = [f"{venv_bin(venv)}/ansible-test", "sanity", "--junit", "--color", "no", *arguments]
    seconds, rc = call(name, argv, env=env, cwd=COPY)
    return junit_entry(name, sorted(JUNIT.glob("*.xml")), seconds=seconds, rc=rc)


def work() -> int:
    """Copy the collection and run both."""
    sync()
    report = Report("sanity")
    report.add(run("ansible-test sanity", "venv", sys.argv[1:]))
    report.add(run("ansible-test sanity, oldest ansible-core", "venv-floor", sys.argv[1:] or list(OF_CORE)))
    return report.finish()


if __name__ == "__main__":
    main(work)
