"""A small OpenAI-compatible server that does what it is told: answers, streams, stalls, cuts, refuses, lies."""

from tests.fake_model.server import Call, FakeModel, Step

__all__ = ["Call", "FakeModel", "Step"]
