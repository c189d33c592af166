"""Remembers for good: what Postgres holds. Knows no Redis and no sockets."""
