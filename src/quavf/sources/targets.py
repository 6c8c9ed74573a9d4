"""The target of a stretch of speech in EasyCom, in all its spellings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

EVERYONE, NOBODY = "group", "none"


@dataclass(frozen=True)
class Target:
    """To whom somebody speaks."""

    participants: frozenset[int]
    everyone: bool = False

    def includes(self, participant: int) -> bool:
        return self.everyone or participant in self.participants


def parse_target(value: Any) -> Target | None:
    """The target in a number, a list, or a text such as "2", "[2]", "[1, 3]", "Group" or "None".

    None if it cannot be read; a missing or empty target is nobody.
    """
    if value is None:
        return Target(frozenset())
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return Target(frozenset([int(value)])) if value == value // 1 else None
    if isinstance(value, str):
        value = [word for word in re.split(r"[\s,;\[\]'\"()]+", value) if word]
        return _join([_parse_word(word) for word in value])
    if isinstance(value, list):
        return _join([parse_target(item) for item in value])
    return None


def _parse_word(word: str) -> Target | None:
    if word.isascii() and word.isdigit() and len(word) < 5:
        return Target(frozenset([int(word)]))
    if word.lower() in (EVERYONE, NOBODY):
        return Target(frozenset(), word.lower() == EVERYONE)
    return None


def _join(targets: list[Target | None]) -> Target | None:
    """All of them; None if one cannot be read."""
    found = [target for target in targets if target is not None]
    if len(found) < len(targets):
        return None
    people = frozenset[int]().union(*(target.participants for target in found))
    return Target(people, any(target.everyone for target in found))
