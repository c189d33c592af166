"""Codes are unpredictable and read as people type them; addresses are one mailbox's or refused."""

from __future__ import annotations

from collections import Counter
from uuid import uuid4

import pytest

from engine.identity import codes
from engine.identity.codes import BadAddress
from engine.identity.keys import Keys, derive


def test_45_every_digit_is_as_likely_at_every_place() -> None:
    made = [codes.new_code() for _ in range(20_000)]
    assert {len(code) for code in made} == {6}
    for place in range(6):
        counts = Counter(code[place] for code in made)
        chi_squared = sum((counts[str(digit)] - 2_000) ** 2 / 2_000 for digit in range(10))
        assert chi_squared < 39.8  # 9 degrees of freedom: a fair source fails once in 100,000 runs


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("012345", "012345"),
        (" 012 345\n", "012345"),
        ("012-345", "012345"),
        ("01234", None),
        ("0123456", None),
        ("12345a", None),
        ("", None),
        ("１２３４５６", None),
        ("١٢٣٤٥٦", None),
    ],
)
def test_what_people_type(typed: str, code: str | None) -> None:
    assert codes.typed_code(typed) == code


def test_41_a_hash_says_nothing_without_the_key_and_holds_for_one_challenge(keys: Keys) -> None:
    challenge = uuid4()
    hash = codes.code_hash(keys, challenge, "123456")
    assert hash == codes.code_hash(keys, challenge, "123456")
    others = [(keys, uuid4(), "123456"), (keys, challenge, "123457"), (derive("o" * 32), challenge, "123456")]
    assert hash not in [codes.code_hash(*other) for other in others]


@pytest.mark.parametrize(
    ("typed", "written", "key"),
    [
        ("Ada@Example.COM", "Ada@example.com", "ada@example.com"),
        (" ada@example.com ", "ada@example.com", "ada@example.com"),
        ("ada+tag@example.com", "ada+tag@example.com", "ada+tag@example.com"),
        ("ada@bücher.example.com", "ada@bücher.example.com", "ada@bücher.example.com"),
        ("ada@xn--bcher-kva.example.com", "ada@bücher.example.com", "ada@bücher.example.com"),
        ("straße@example.com", "straße@example.com", "straße@example.com"),
        ("ada@engine.test", "ada@engine.test", "ada@engine.test"),
    ],
)
def test_44_addresses_of_one_mailbox_have_one_key(typed: str, written: str, key: str) -> None:
    address = codes.read_address(typed, production=False)
    assert (address.written, address.key) == (written, key)


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "ada",
        "ada@",
        "@example.com",
        "a@b\r\nBcc: c@example.com",
        "a@exam ple.com",
        "a@example..com",
        "a@b@example.com",
        "a" * 65 + "@example.com",
        "a@" + "b" * 260 + ".com",
        "a\x00@example.com",
        "a@127.0.0.1",
        "ada@example.com, b@example.com",
        '"a b"@example.com',
        "Ada <ada@example.com>",
    ],
)
def test_44_odd_addresses_are_refused(typed: str) -> None:
    with pytest.raises(BadAddress):
        codes.read_address(typed, production=False)


def test_names_for_tests_are_refused_in_production() -> None:
    with pytest.raises(BadAddress):
        codes.read_address("ada@engine.test", production=True)
