"""The optional extra `[semantic]`: the matcher with a network that reads a message in context, off the event loop.

>>> intents({"pricing": ["how is the fee calculated"]}, "what do I pay at the gate?", semantic())
('pricing',)
"""

from __future__ import annotations

from engine.semantic.model import NotInstalled
from engine.semantic.tier import semantic

__all__ = ["NotInstalled", "semantic"]
