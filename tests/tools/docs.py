# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the documentation: the text in the plugins and roles, and the tables that are kept by hand."""

from __future__ import annotations

from common import RESULTS, Report, call, environment, junit_entry, main, venv_bin


def work() -> int:
    """Run both checks."""
    report = Report("docs")
    report.check(
        "antsibull-docs",
        [
            f"{venv_bin()}/antsibull-docs",
            "lint-collection-docs",
            "--plugin-docs",
            "--validate-collection-refs=dependent",
            "--disallow-unknown-collection-refs",
            ".",
        ],
    )
    RESULTS.mkdir(parents=True, exist_ok=True)
    file = RESULTS / "docs.xml"
    file.unlink(missing_ok=True)
    argv = [f"{venv_bin()}/python", "-m", "pytest", f"--junit-xml={file}", "tests/docs"]
    seconds, rc = call("tables", argv, env=environment())
    report.add(junit_entry("tables", [file] if file.exists() else [], seconds=seconds, rc=rc))
    return report.finish()


if __name__ == "__main__":
    main(work)
