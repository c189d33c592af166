"""The worker: doorbells in, evaluations out. The record holds the work; the queue only says that there is some."""
