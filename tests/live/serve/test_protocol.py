"""Messages of the live WebSocket: what is taken, what is refused, and how."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quavf.live.serve.config import LimitsConfig
from quavf.live.serve.protocol import (
    ENDINGS,
    Kind,
    ProtocolError,
    check_bye,
    pack_picture,
    pack_sound,
    parse_hello,
    parse_packet,
)

LIMITS = LimitsConfig(picture_bytes=100_000, picture_pixels=10_000)
JPEG = b"\xff\xd8\xff\xe0 and so on"


@pytest.mark.parametrize(
    ("text", "look_ahead"),
    [
        ('{"type": "hello", "version": 1}', None),
        ('{"type": "hello", "version": 1, "look_ahead": 0}', 0.0),
        ('{"type": "hello", "version": 1, "look_ahead": 1.5, "later": {}}', 1.5),
    ],
)
def test_hello(text: str, look_ahead: float | None) -> None:
    assert parse_hello(text).look_ahead == look_ahead


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", "bad-message", "no JSON"),
        ("[]", "bad-message", "no JSON object"),
        ("[" * 4000, "bad-message", "no JSON"),
        (" " * 5000, "bad-message", "over 4096 characters"),
        ('{"type": "hi"}', "bad-message", "must be of type"),
        ('{"type": "hello"}', "version", "use 1"),
        ('{"type": "hello", "version": true}', "version", "use 1"),
        ('{"type": "hello", "version": 2}', "version", "2 is not spoken here"),
        ('{"type": "hello", "version": 1, "token": 7}', "bad-message", "token"),
        ('{"type": "hello", "version": 1, "look_ahead": NaN}', "bad-message", "look_ahead"),
        ('{"type": "hello", "version": 1, "look_ahead": 1e999}', "bad-message", "look_ahead"),
        ('{"type": "hello", "version": 1, "look_ahead": true}', "bad-message", "look_ahead"),
    ],
)
def test_hello_refused(text: str, code: str, words: str) -> None:
    with pytest.raises(ProtocolError, match=words) as caught:
        parse_hello(text)
    assert caught.value.ending.code == code


def test_later_texts() -> None:
    check_bye('{"type": "bye"}')
    with pytest.raises(ProtocolError, match="send bye"):
        check_bye('{"type": "hello", "version": 1}')


def test_packets_come_back_as_packed() -> None:
    sound = parse_packet(pack_sound(bytes(640), 1.5, 16_000, channels=2), LIMITS)
    assert (sound.kind, sound.time_s, sound.rate, sound.channels) == (Kind.PCM, 1.5, 16_000, 2)
    assert sound.duration_s == 0.01
    raw = parse_packet(pack_picture(Kind.RGB, bytes(4 * 3 * 3), 2.5, (4, 3)), LIMITS)
    assert (raw.width, raw.height, raw.time_s, raw.is_picture) == (4, 3, 2.5, True)
    assert parse_packet(pack_picture(Kind.JPEG, JPEG, 0, (0, 0)), LIMITS).payload == JPEG


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 bytes"),
        (bytes(16), "16 bytes hold no more than a header"),
        (b"\x00" + bytes(40), "kind: 0"),
        (b"\x04" + bytes(40), "kind: 4"),
        (pack_picture(Kind.JPEG, b"\x89PNG", 0, (0, 0)), "no JPEG"),
        (pack_picture(Kind.JPEG, JPEG, 0, (4, 4)), "must be 0"),
        (pack_picture(Kind.JPEG, JPEG + bytes(100_000), 0, (0, 0)), "at most 100000"),
        (pack_picture(Kind.RGB, bytes(35), 0, (4, 3)), "35 bytes are not 4 × 3"),
        (pack_picture(Kind.RGB, bytes(30_300), 0, (101, 100)), "10100 pixels"),
        (pack_picture(Kind.JPEG, JPEG, float("nan"), (0, 0)), "time_s"),
        (pack_picture(Kind.JPEG, JPEG, -1.0, (0, 0)), "time_s"),
        (pack_picture(Kind.JPEG, JPEG, 1e300, (0, 0)), "time_s"),
        (b"\x01\x01" + pack_picture(Kind.JPEG, JPEG, 0, (0, 0))[2:], "bytes 1 to 3"),
        (pack_sound(bytes(64), 0, 16_000, channels=0), "channels: 0"),
        (pack_sound(bytes(64), 0, 16_000, channels=9), "channels: 9"),
        (pack_sound(bytes(64), 0, 4_000), "rate: 4000"),
        (pack_sound(bytes(64), 0, 1 << 31), "rate"),
        (pack_sound(bytes(65), 0, 16_000), "no whole samples"),
        (pack_sound(bytes(16_002), 0, 8_000), "over 1 s"),
        (pack_sound(bytes(64), float("inf"), 16_000), "time_s"),
    ],
)
def test_packets_refused(data: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        parse_packet(data, LIMITS)


@given(st.binary(max_size=64), st.integers(0, 4), st.floats())
def test_any_bytes_are_taken_or_refused(data: bytes, kind: int, time_s: float) -> None:
    for message in (data, struct.pack("<BBHId", kind, 1, 0, 16_000, time_s) + data):
        with suppress(ProtocolError):
            assert parse_packet(message, LIMITS).data == message


def test_codes_under_4000_are_those_to_connect_again_on() -> None:
    retried = {ending.code for ending in ENDINGS if ending.is_retried}
    assert retried == {"failed", "stopping", "full", "slow", "clock"}
    assert all(1000 <= ending.close < 5000 for ending in ENDINGS)
