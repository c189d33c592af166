"""Carries what live holds into the record, in order, and back when live has lost it."""

from engine.recorder.comparing import run_comparing
from engine.recorder.rebuilder import NotThere, Parked
from engine.recorder.recorder import AWAY, Lost, Recorder

__all__ = ["AWAY", "Lost", "NotThere", "Parked", "Recorder", "run_comparing"]
