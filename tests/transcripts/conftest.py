"""Nodes on real servers, as the conductor's tests have them."""

from __future__ import annotations

from tests.conductor.conftest import hall, hall_settings, nodes

__all__ = ["hall", "hall_settings", "nodes"]
