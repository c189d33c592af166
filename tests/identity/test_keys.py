"""One secret gives keys that serve one purpose each; in development it is made once and kept."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.identity.keys import SECRET_FILE, derive, keyed_hash, secret_of
from engine.settings import SettingsError, load_settings

SECRET = "s" * 32


def test_no_key_serves_two_purposes() -> None:
    keys = derive(SECRET)
    everything = [*keys.access.values(), *keys.refresh, *keys.code, keys.subject]
    assert len(set(everything)) == len(everything)


def test_an_older_secret_still_checks_and_no_longer_signs() -> None:
    old, both = derive(SECRET), derive("n" * 32, SECRET)
    assert both.signing != old.signing
    assert both.access[old.signing] == old.access[old.signing]
    assert old.refresh[0] in both.refresh


@pytest.mark.parametrize("weak", ["", "short", "s" * 31])
def test_a_weak_secret_is_refused(weak: str) -> None:
    with pytest.raises(ValueError, match="at least 32"):
        derive(weak)


def test_production_does_not_start_without_a_secret() -> None:
    with pytest.raises(SettingsError, match="ENGINE_SECRET_KEY"):
        load_settings({"ENGINE_MODE": "production"})


def test_development_makes_one_secret_however_many_start_at_once(tmp_path: Path) -> None:
    settings = load_settings({}, data_dir=tmp_path / "data")
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: secret_of(settings), range(8)))
    assert len(made) == 1
    assert derive(made.pop())
    kept = settings.data_dir / SECRET_FILE
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [path.name for path in settings.data_dir.iterdir()] == [SECRET_FILE]


def test_keys_are_not_shown() -> None:
    keys = derive(SECRET)
    assert keys.code[0].hex() not in repr(keys)
    assert str(keys.code[0]) not in repr(keys)


def test_parts_of_a_hash_cannot_be_shifted() -> None:
    assert keyed_hash(b"k", "ab", "c") != keyed_hash(b"k", "a", "bc")
    assert keyed_hash(b"k", b"ab") == keyed_hash(b"k", "ab")
