"""Decides. Pure: no await, clock, chance, environment or I/O."""
