"""The two sets of semantics."""

from __future__ import annotations

from dataclasses import fields

from quavf.core.semantics import FIXED, REFERENCE, get_semantics


def test_semantics_differ_in_every_flag_and_only_there() -> None:
    flags = [f.name for f in fields(REFERENCE) if f.name != "name"]
    assert len(flags) == 11
    assert all(getattr(REFERENCE, flag) is True for flag in flags)
    assert all(getattr(FIXED, flag) is False for flag in flags)
    assert get_semantics("reference") is REFERENCE
    assert get_semantics("fixed") is FIXED
