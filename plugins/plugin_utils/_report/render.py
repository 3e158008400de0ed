# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Renders the page. All that was not written by us is escaped in one place, before the template gets to it."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ansible_collections.criu.hosts.plugins.plugin_utils._report.sections import (
    PHASES,
    containers,
    downtime,
    summary,
    timeline,
    verdicts,
)
from ansible_collections.criu.hosts.plugins.plugin_utils._report.text import visible
from ansible_collections.criu.hosts.plugins.plugin_utils._report.view import hosts_of, sorted_checkpoints

HERE = Path(__file__).parent


def _shown(value: Any) -> Any:
    """Makes every character of a text visible; the template escapes what HTML would take for its own."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else visible(value)


def render(value: Any, title: str) -> str:
    """Returns the page for a result of checkpoint_info, or for those of several hosts.

    Raises:
        KeyError, TypeError, AttributeError, ValueError: the value is no such result.
    """
    hosts = hosts_of(value)
    checkpoints = sorted_checkpoints(hosts)
    # The hash in the policy of the page is that of exactly this text.
    style = (HERE / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_shown, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((HERE / "page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        title=title,
        style=Markup(style),  # noqa: S704 -- our own file
        style_hash=f"sha256-{digest}",
        hosts=list(hosts),
        checkpoints=checkpoints,
        summary=summary(list(hosts), checkpoints),
        verdicts=verdicts(list(hosts), checkpoints),
        timeline=timeline(checkpoints),
        downtime=downtime(checkpoints),
        phases=PHASES,
        containers=containers(checkpoints),
    )
