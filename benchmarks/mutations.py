"""Mutations of files for `fuzz.py`: by a seeded generator, and by Hypothesis."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 0.5, -0.5, 2**31, -(2**63), 2**64, 10**400, 1e308),
    *(float("nan"), float("inf"), "", "x", "1", "'3'", "NaN", "\x00", "é" * 5000, "../../x"),
    *([], {}, [[]], [None], {"": None}, {"0": {"0": {}}}, [0] * 5000),
)
EXTREMES = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
EDITS = st.lists(st.tuples(st.integers(0, 2**31), st.binary(min_size=1, max_size=6)), min_size=1)

Mutation = Callable[[bytes, bool], bytes]  # content, whether it is JSON -> other content


def seeded(number: int) -> Mutation:
    """The mutation of this number."""

    def mutate(data: bytes, is_json: bool) -> bytes:
        rng = random.Random(number)
        if is_json and rng.random() < 0.75:
            return _edit_json(data, lambda nodes: _change(rng, nodes))
        return rng.choice(BYTE_MUTATIONS)(data, rng)

    return mutate


def drawn(count: int, number: int) -> list[Mutation]:
    """So many mutations drawn by Hypothesis, the same for the same number."""
    found: list[Mutation] = []

    @seed(number)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**31), JSON_VALUES, EDITS)
    def draw(place: int, value: Any, edits: list[tuple[int, bytes]]) -> None:
        def mutate(data: bytes, is_json: bool) -> bytes:
            if is_json:
                return _edit_json(data, lambda nodes: _put(nodes, place, value))
            return _overwrite(data, edits)

        found.append(mutate)

    draw()
    return [found[k % len(found)] for k in range(count)]


Nodes = list[tuple[Any, Any]]  # (a list or object, a key of it)


def _edit_json(data: bytes, edit: Callable[[Nodes], None]) -> bytes:
    root = [json.loads(data)]
    edit(list(_nodes(root)))
    return json.dumps(root[0]).encode() if root else b""


def _nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = range(len(value)) if isinstance(value, list) else value
    for key in list(keys):
        yield value, key
        if isinstance(value[key], list | dict):
            yield from _nodes(value[key])


def _put(nodes: Nodes, place: int, value: Any) -> None:
    parent, key = nodes[place % len(nodes)]
    parent[key] = value


def _change(rng: random.Random, nodes: Nodes) -> None:
    parent, key = rng.choice(nodes)
    action = rng.randrange(5)
    if action == 0:
        del parent[key]
    elif action == 1 and isinstance(parent, list):
        parent.insert(key, parent[key])
    elif action == 2 and isinstance(parent[key], int | float):
        parent[key] = rng.choice((-parent[key], parent[key] * 1e9, str(parent[key]), [parent[key]]))
    elif action == 3 and isinstance(parent, dict):
        parent[f"{key}x"] = parent.pop(key)
    else:
        parent[key] = rng.choice(ODD_VALUES)


def _overwrite(data: bytes, edits: list[tuple[int, bytes]]) -> bytes:
    changed = bytearray(data)
    for place, new in edits:
        at = place % max(len(changed), 1)
        changed[at : at + len(new)] = new
    return bytes(changed)


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 4, 64)) if changed else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _remove(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.randrange(1, 200) :]


def _insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice((rng.randbytes(40), data[at : at + 500])) + data[at:]


def _clear(data: bytes, rng: random.Random) -> bytes:
    start, n = rng.randrange(len(data) + 1), rng.randrange(1, 400)
    return data[:start] + bytes(len(data[start : start + n])) + data[start + n :]


def _set_extreme(data: bytes, rng: random.Random) -> bytes:
    """An extreme number somewhere, most likely in the first bytes, where sizes and rates are."""
    end = rng.choice((64, 512, len(data)))
    kind = rng.choice(("<I", ">I", "<H", ">H"))
    number = rng.choice(EXTREMES) & (0xFFFF if kind[1] == "H" else 0xFFFFFFFF)
    new = struct.pack(kind, number)
    at = rng.randrange(max(min(end, len(data) - len(new)), 1))
    return data[:at] + new + data[at + len(new) :]


def _replace(data: bytes, rng: random.Random) -> bytes:
    return rng.choice((b"", b"\xff\xfe", b"\xef\xbb\xbf" + data, rng.randbytes(300), data + data))


BYTE_MUTATIONS = (_flip, _cut, _remove, _insert, _clear, _set_extreme, _set_extreme, _replace)
