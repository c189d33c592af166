"""One secret gives keys that serve one purpose each; in development it is made once and kept."""

from __future__ import annotations

import re
import secrets
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from engine.identity.codes import code_hash, code_hashes
from engine.identity.keys import SECRET_FILE, derive, keyed_hash, secret_of
from engine.settings import SettingsError, load_settings, weakness
from tests import stack

SECRET = "s" * 32


def test_no_key_serves_two_purposes() -> None:
    keys = derive(SECRET)
    everything = [*keys.access.values(), *keys.refresh, *keys.code, keys.subject]
    assert len(set(everything)) == len(everything)


def test_53_an_older_secret_still_checks_and_no_longer_signs() -> None:
    old, both = derive(SECRET), derive("n" * 32, SECRET)
    assert both.signing != old.signing
    assert both.access[old.signing] == old.access[old.signing]
    assert old.refresh[0] in both.refresh and old.code[0] in both.code
    challenge = uuid4()
    assert code_hash(old, challenge, "123456") in code_hashes(both, challenge, "123456")
    assert code_hash(both, challenge, "123456") == code_hashes(both, challenge, "123456")[0]


@pytest.mark.parametrize("short", ["", "short", "s" * 31])
def test_53_a_short_secret_is_refused_everywhere(short: str) -> None:
    with pytest.raises(ValueError, match="at least 32"):
        derive(short)


WEAK: dict[str, str] = {
    "53 none": "",
    "53 short": "kQ3v9x7Rm2_kLw0Zp8-bTn5YhJd4sA",
    "53 one character": "s" * 48,
    "53 a few characters": "bacdcabdeebbacdfaccbdgabdcfbaadbcc",
    "53 a piece, again and again": "kQ3v9x7Rm2_" * 4,
    "53 a placeholder": "changeme-changeme-changeme-changeme",
    "53 a placeholder in capitals": "PLEASE_CHANGE_ME_BEFORE_YOU_GO_LIVE_42",
    "53 what frameworks write": "django-insecure-0x3kq9vmz81wlp7c2nb5tj4y",
    "53 what tutorials write": "your-256-bit-secret-goes-here-0x3kq9",
    "53 what Laravel wrote": "SomeRandomStringWith32Characters",
    "53 digits in their order": "01234567890123456789012345678901",
    "53 hex in its order": "0123456789abcdef0123456789abcdef",
    "53 dead beef": "deadbeefcafebabe0badf00dfeedface42",
    "53 a password": "MyVeryLongPassword2026ForInterviews!",
    "53 the tests' own": stack.SECRET,
    "53 a comma": "kQ3v9x7Rm2,kLw0Zp8-bTn5YhJd4sA1eUgC",
    "53 a blank": "kQ3v9x7Rm2 kLw0Zp8-bTn5YhJd4sA1eUgC",
}
GOOD = "kQ3v9x7Rm2_kLw0Zp8-bTn5YhJd4sA1eUgC6iFo"
PRODUCTION = {
    "ENGINE_MODE": "production",
    "ENGINE_SECRET_KEY": GOOD,
    "ENGINE_SMTP_HOST": "mail.example.org",
    "ENGINE_PUBLIC_URL": "https://interviews.example.org",
    "DATABASE_URL": "postgresql://engine@postgres/engine",
    "REDIS_URL": "redis://redis",
}


@pytest.mark.parametrize("weak", WEAK.values(), ids=WEAK)
def test_production_does_not_start_with_a_weak_secret(weak: str) -> None:
    with pytest.raises(SettingsError, match=r"^ENGINE_SECRET_KEY: .+make one with") as refused:
        load_settings({**PRODUCTION, "ENGINE_SECRET_KEY": weak})
    assert not weak or weak not in str(refused.value)
    if weak and len(weak.replace(",", " ").split()) == 1:
        with pytest.raises(SettingsError, match=r"^ENGINE_OLDER_SECRET_KEYS: "):
            load_settings({**PRODUCTION, "ENGINE_OLDER_SECRET_KEYS": f"{GOOD}x,{weak}"})


def test_53_random_secrets_pass_however_they_are_written() -> None:
    for _ in range(200):
        for secret in (secrets.token_urlsafe(48), secrets.token_hex(32), secrets.token_hex(16)):
            assert weakness(secret) is None, secret
    settings = load_settings({**PRODUCTION, "ENGINE_OLDER_SECRET_KEYS": f"{GOOD}x, {GOOD}y"})
    assert settings.older_secret_keys == (f"{GOOD}x", f"{GOOD}y")


def test_53_no_secret_to_copy_is_in_what_operators_read() -> None:
    given = re.compile(r"ENGINE_(?:OLDER_)?SECRET_KEYS?[=:]\s*(\S+)")
    for name in ("README.md", "docker-compose.yml", "Dockerfile", "engine/README.md", "engine/identity/README.md"):
        for value in given.findall((stack.ROOT / name).read_text()):
            assert value.startswith(("$", '"$', "...")), (name, value)


def test_53_a_secret_may_be_told_before_it_is_used() -> None:
    """Nodes are changed one after the other: first all accept the new secret, then they sign with it."""
    told, using = derive(SECRET, "n" * 32), derive("n" * 32, SECRET)
    assert told.signing != using.signing
    assert set(told.access) == set(using.access)
    assert set(told.refresh) == set(using.refresh) and set(told.code) == set(using.code)


def test_53_keys_of_google_come_by_https_in_production() -> None:
    with pytest.raises(SettingsError, match="ENGINE_GOOGLE_JWKS_URL"):
        load_settings({**PRODUCTION, "ENGINE_GOOGLE_CLIENT_ID": "x", "ENGINE_GOOGLE_JWKS_URL": "http://keys.example"})


SHOWN: dict[str, tuple[str, dict[str, str]]] = {
    "57 pages without TLS": ("PUBLIC_URL", {"ENGINE_PUBLIC_URL": "http://interviews.example.org"}),
    "57 a name like this machine's": ("PUBLIC_URL", {"ENGINE_PUBLIC_URL": "http://localhost.example.org"}),
    "57 no scheme": ("PUBLIC_URL", {"ENGINE_PUBLIC_URL": "interviews.example.org"}),
    "57 no URL": ("PUBLIC_URL", {"ENGINE_PUBLIC_URL": "https://[interviews"}),
    "a user of SMTP without TLS": ("SMTP_TLS", {"ENGINE_SMTP_TLS": "none", "ENGINE_SMTP_USER": "u"}),
    "its password": ("SMTP_TLS", {"ENGINE_SMTP_TLS": "none", "ENGINE_SMTP_PASSWORD": "p"}),
}


@pytest.mark.parametrize(("variable", "changes"), SHOWN.values(), ids=SHOWN)
def test_production_sends_no_secret_in_the_clear(variable: str, changes: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=f"^ENGINE_{variable}: "):
        load_settings({**PRODUCTION, **changes})


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:8080", "[::1]:8080"])
def test_production_may_be_tried_on_this_machine(host: str) -> None:
    url = f"http://{host}"
    assert load_settings({**PRODUCTION, "ENGINE_PUBLIC_URL": url, "ENGINE_SMTP_TLS": "none"}).public_url == url


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
