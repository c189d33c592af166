"""Row 75: the least that Redis and Postgres must let the engine do; test_logs.py lets it do no more."""

from __future__ import annotations

REDIS_COMMANDS = """
hello auth select client|setinfo client|setname info ping time
get set getdel del unlink exists expire pexpire
hget hmget hgetall hset
lrange lrem
zadd zrem zrange
xadd xrange xtrim xreadgroup xautoclaim xack xgroup|create xgroup|delconsumer
eval evalsha script|load script|exists
multi exec discard
publish subscribe unsubscribe
""".split()
REDIS_KEYS = "record {i* {limits}:* ticket:* nonce:* google:* login:* mailbox:* {evaluations} autoclaim:*".split()
REDIS_CHANNELS = "{i* logins:ended".split()

POSTGRES_GRANTS = """
GRANT CONNECT ON DATABASE "{database}" TO {role};
GRANT USAGE ON SCHEMA public TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};
"""


def redis_user(name: str, password: str) -> list[str]:
    """The words of `ACL SETUSER` for the engine's user."""
    return [
        name, "reset", "on", f">{password}", "-@all", *(f"+{command}" for command in REDIS_COMMANDS),
        *(f"~{pattern}" for pattern in REDIS_KEYS), *(f"&{pattern}" for pattern in REDIS_CHANNELS),
    ]  # fmt: skip
