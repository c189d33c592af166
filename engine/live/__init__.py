"""Remembers now: Redis. Four scripts (commit, recorded, hello, rebuild) are the only writers of an interview."""
