"""Targets of speech in all their spellings."""

from __future__ import annotations

from typing import Any

import pytest

from quavf.sources.targets import Target, parse_target

NOBODY, EVERYONE = Target(frozenset()), Target(frozenset(), everyone=True)


def people(*numbers: int) -> Target:
    return Target(frozenset(numbers))


@pytest.mark.parametrize(
    ("value", "target"),
    [
        (2, people(2)),
        (2.0, people(2)),
        ("2", people(2)),
        ("[2]", people(2)),
        ("[2, 4]", people(2, 4)),
        ("['2' '4']", people(2, 4)),
        ([2, 4], people(2, 4)),
        (["2", [4]], people(2, 4)),
        ([], NOBODY),
        (None, NOBODY),
        ("", NOBODY),
        ("None", NOBODY),
        (["none"], NOBODY),
        ("Group", EVERYONE),
        (" group ", EVERYONE),
        (["Group", 3], Target(frozenset([3]), everyone=True)),
        ("someone", None),
        ([2, "someone"], None),
        (2.5, None),
        (float("nan"), None),
        (True, None),
        ({"id": 2}, None),
    ],
)
def test_spellings(value: Any, target: Target | None) -> None:
    assert parse_target(value) == target


def test_who_is_meant() -> None:
    assert EVERYONE.includes(2)
    assert people(2, 4).includes(2)
    assert not people(4).includes(2)
    assert not NOBODY.includes(2)
