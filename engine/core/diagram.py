"""The machine as a diagram (Mermaid), drawn from TRANSITIONS: engine/README.md shows it, a test keeps it fresh."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
from protocol.messages import EVENT_FRAMES, Command

from engine.core.machine import TRANSITIONS, Announce, Asked, ClockRan

_OTHERS: dict[type[Any], str] = {Asked: "clarify.ask", ClockRan: "time is up", Announce: "a worker"}
"""Commands that no client sends as they are."""


def diagram() -> str:
    """One line a transition: command, and the events that come of it."""
    lines = ["stateDiagram-v2", "    [*] --> clarifying: start"]
    for phase, commands in TRANSITIONS.items():
        for command, transition in commands.items():
            events = ", ".join(str(EVENT_FRAMES[event].__struct_config__.tag) for event in transition.events)
            lines.append(f"    {phase} --> {transition.becomes}: {_said(command)} / {events}")
    return "\n".join(lines) + "\n"


def _said(command: type[Any]) -> str:
    """What a command is called on the wire."""
    names = {
        next(field.type for field in msgspec.structs.fields(frame) if field.name == "d"): frame.__struct_config__.tag
        for frame in get_args(Command)
    }
    return str(_OTHERS.get(command) or names[command])
