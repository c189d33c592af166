"""Judging a submission: the port, its two judges, and the flow of one evaluation. No judge ever gives a number."""
