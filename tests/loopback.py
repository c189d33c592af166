"""HTTP to this machine."""

from __future__ import annotations

from typing import Any

import httpx2


def http_client(**options: Any) -> httpx2.AsyncClient:
    """A client that takes no proxy from the environment, and no certificates: reading them costs 35 ms."""
    return httpx2.AsyncClient(trust_env=False, verify=False, **options)
