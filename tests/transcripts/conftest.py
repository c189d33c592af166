"""Nodes on real servers, as the conductor's tests have them."""

from __future__ import annotations

from tests.conductor.conftest import nodes

__all__ = ["nodes"]
