# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible filter: returns whether the collection supports the host of some facts."""

from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.criu.hosts.plugins.module_utils._host.support import support_by_facts


def host_support(facts: Any) -> dict[str, str]:
    """Returns the level and the text for the host of these facts."""
    try:
        return support_by_facts(facts)
    except (KeyError, TypeError, AttributeError) as error:
        raise AnsibleFilterError(
            f"Cannot find out whether the host is supported: the facts are incomplete ({error!r}). Use ansible_facts, "
            "after a run of the module setup with the subset distribution."
        ) from error


class FilterModule:
    """Provides the filter of this file."""

    def filters(self) -> dict[str, Callable[..., dict[str, str]]]:
        return {"host_support": host_support}
