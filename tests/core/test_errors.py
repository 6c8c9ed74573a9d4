"""Errors of the user: one line, whatever a library's message looks like."""

from __future__ import annotations

import pickle

import pytest

from quavf.core.errors import QuavfError, ScoresError


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a.json: no such file", "a.json: no such file"),
        ("a  b: two  spaces stay", "a  b: two  spaces stay"),
        ("scores: (thrift: what type: \nPage header failed.\n)", None),
        ("\r\nfirst\r\n\r\n second ", "first second"),
        ("", ""),
    ],
)
def test_messages_are_one_line(text: str, line: str | None) -> None:
    expected = "scores: (thrift: what type: Page header failed. )" if line is None else line
    for error in (
        QuavfError(text),
        ScoresError(text),
        pickle.loads(pickle.dumps(QuavfError(text))),
    ):
        assert str(error) == expected
