# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible filter: shows checkpoints, as checkpoint_info returns them, on a page for a browser."""

from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.criu.hosts.plugins.plugin_utils._report.render import render


def checkpoint_report(value: Any, title: str = "Checkpoints") -> str:
    """Returns the page for a result of checkpoint_info, or for those of several hosts."""
    try:
        return render(value, title)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise AnsibleFilterError(
            f"Cannot render the checkpoints: the value has none ({error!r}). Use the key checkpoints that the module "
            "criu.hosts.checkpoint_info returns, or a dictionary with one for each host."
        ) from error


class FilterModule:
    """Provides the filter of this file."""

    def filters(self) -> dict[str, Callable[..., str]]:
        return {"checkpoint_report": checkpoint_report}
