# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Renders the metrics of a container in the text format of Prometheus. Pure.

https://prometheus.io/docs/instrumenting/exposition_formats, for the textfile collector of prometheus-node-exporter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Mapping

PREFIX = "criu_hosts_checkpoint"
RESULTS = ("done", "skipped", "failed")
# All files of the folder are one page: equal names need equal texts of help.
HELP: Mapping[str, str] = {
    "newest_timestamp_seconds": "When the newest whole checkpoint of the container was made.",
    "newest_size_bytes": "Size of the newest whole checkpoint.",
    "stored": "Number of checkpoints in the store.",
    "stored_bytes": "Size of all checkpoints in the store.",
    "last_run_timestamp_seconds": "When the program has ended last.",
    "last_run_seconds": "How long that took.",
    "last_frozen_seconds": "How long the container was frozen in its last checkpoint.",
    "last_result": "Whether the last run was done, skipped by a guard, or failed.",
    "ready": "Whether the host can checkpoint and restore containers, as criu_info judges it.",
}


@dataclass(frozen=True)
class Metrics:
    """The values; None is left out. Times are seconds since 1970. ``unit``: that of the container, or empty."""

    container: str
    unit: str
    result: str
    ended: float
    seconds: float
    newest: float | None = None
    newest_bytes: int | None = None
    stored: int | None = None
    stored_bytes: int | None = None
    frozen_seconds: float | None = None
    ready: bool | None = None


def escaped(value: str) -> str:
    """Returns the value of a label as the format wants it."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _samples(metrics: Metrics) -> Iterator[tuple[str, str, float | None]]:
    yield "newest_timestamp_seconds", "", metrics.newest
    yield "newest_size_bytes", "", metrics.newest_bytes
    yield "stored", "", metrics.stored
    yield "stored_bytes", "", metrics.stored_bytes
    yield "last_run_timestamp_seconds", "", metrics.ended
    yield "last_run_seconds", "", metrics.seconds
    yield "last_frozen_seconds", "", metrics.frozen_seconds
    for result in RESULTS:
        yield "last_result", f',result="{result}"', int(metrics.result == result)
    yield "ready", "", None if metrics.ready is None else int(metrics.ready)


def render_metrics(metrics: Metrics) -> str:
    """Returns the text of the file."""
    labels = f'container="{escaped(metrics.container)}",unit="{escaped(metrics.unit)}"'
    lines, last = [], ""
    for name, more, value in _samples(metrics):
        if value is None:
            continue
        if name != last:
            lines += [f"# HELP {PREFIX}_{name} {HELP[name]}", f"# TYPE {PREFIX}_{name} gauge"]
        last = name
        lines.append(
            f"{PREFIX}_{name}{{{labels}{more}}} {value:.3f}"
            if isinstance(value, float)
            else f"{PREFIX}_{name}{{{labels}{more}}} {value}"
        )
    return "\n".join(lines) + "\n"
