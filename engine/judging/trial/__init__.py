"""A judge on trial: a gold set, texts that try to move its verdicts, honest texts that look odd; and the figures."""
