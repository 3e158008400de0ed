# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the linters, the fast ones first."""

from __future__ import annotations

from common import BUILD, LINK, ROOT, Report, main, tracked_files, venv_bin


def work() -> int:
    """Run all linters, even if one fails."""
    report = Report("lint")
    tool = venv_bin()
    code = [name for name in ("plugins", "roles", "tests", "extensions") if (ROOT / name).is_dir()]
    report.check("ruff check", [f"{tool}/ruff", "check", *code])
    report.check("ruff format", [f"{tool}/ruff", "format", "--check", *code])
    files = [str(file) for file in tracked_files() if file.suffix in (".yml", ".yaml")]
    report.check("yamllint", [f"{tool}/yamllint", "--strict", ".yamllint", ".ansible-lint", *files])
    report.check("codespell", [f"{tool}/codespell"])
    report.check(
        "vermin, Python 3.9",
        [f"{tool}/vermin", "--quiet", "--target=3.9-", "--no-tips", "--eval-annotations", "--violations", "plugins"],
    )
    mypy = [f"{tool}/mypy", "--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(BUILD / "mypy")]
    report.check("mypy, plugins", [*mypy, "--python-version", "3.11", f"{LINK}/plugins"], cwd=BUILD)
    for name in ("extensions/molecule/lab", "tests/tools", "tests/crash", "tests/reports", "tests/fuzz"):
        # builds.py imports from the lab, the reports from the crash harness, hosts.py from the host tests.
        paths = [ROOT / one for one in (name, "extensions/molecule/lab", "tests/crash", "tests/testinfra")]
        report.check(f"mypy, {name}", [*mypy, name], MYPYPATH=":".join(map(str, paths)))
    report.check("changelog", [f"{tool}/antsibull-changelog", "lint"])
    report.check("ansible-lint", [f"{tool}/ansible-lint", "--profile", "production", "--offline", "--strict"])
    return report.finish()


if __name__ == "__main__":
    main(work)
