"""Load, decide, commit, tell: the one way in for every change of an interview."""

from engine.conductor.conductor import Conductor, Greeting, StateReset

__all__ = ["Conductor", "Greeting", "StateReset"]
