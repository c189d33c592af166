"""Names of keys and channels. All keys of one interview share a partition's hash tag, so a script meets one slot."""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import NamedTuple

PARTITIONS = 64
"""Fixed for good: an interview's partition follows from its id. Indexes and slots grow with it, not with interviews."""

INTERVIEWS_KNOWN = 4_096
"""Whose names are at hand, about a KiB each: they are wanted several times a command."""


class Keys(NamedTuple):
    """The keys of one interview and the indexes of its partition."""

    state: str
    events: str
    commands: str
    tail: str
    due: str
    dirty: str
    bell: str
    """The channel that rings when there is something new to read."""


RECORD_KEY = "record"
"""Holds the identity of the record that this database is live for."""


@lru_cache(INTERVIEWS_KNOWN)
def keys_of(interview: str) -> Keys:
    """The keys of the interview with this id."""
    tag = partition_tag(zlib.crc32(interview.encode()) % PARTITIONS)
    own = f"{tag}:{interview}"
    return Keys(
        f"{own}:state",
        f"{own}:events",
        f"{own}:commands",
        f"{own}:tail",
        f"{tag}:due",
        f"{tag}:dirty",
        f"{own}:bell",
    )


def partition_tag(partition: int) -> str:
    """The hash tag of a partition."""
    return f"{{i{partition:02d}}}"
