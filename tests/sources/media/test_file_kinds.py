"""The media that users really have: content, sync, size and notes, or a message."""

from __future__ import annotations

from pathlib import Path

import pytest

from quavf.core.errors import MediaError
from tests.helpers.cue_media import look
from tests.helpers.odd_media import KINDS, PAGE, Kind, update_page

TICK_S = 1 / 30


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_kind(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / kind.name
    kind.make(path)
    if kind.message:
        with pytest.raises(MediaError, match=kind.message) as caught:
            look(path, kind.options)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        return
    seen = look(path, kind.options)
    assert set(kind.notes) <= set(seen.notes) <= {*kind.notes, *kind.also}, seen
    assert seen.size == kind.size
    if kind.span_s is not None:
        assert seen.duration_s == pytest.approx(kind.span_s, abs=0.04)
    if kind.square:
        assert seen.face is not None
        assert seen.face[0] == pytest.approx(seen.face[1], rel=0.15)  # not squeezed
        assert seen.square_s is not None or kind.span_s == 0
    if kind.cue_s is not None and kind.square:
        assert seen.square_s == pytest.approx(kind.cue_s, abs=TICK_S)
    assert (seen.beep_s is not None) == kind.beep or kind.name.startswith("cut")
    if kind.cue_s is not None and kind.beep:
        assert seen.beep_s == pytest.approx(kind.cue_s, abs=TICK_S + 0.005)
    if seen.square_s is not None and seen.beep_s is not None and kind.cue_s is not None:
        assert seen.beep_s == pytest.approx(seen.square_s, abs=TICK_S + 0.005)


def test_the_documentation_lists_them() -> None:
    assert PAGE.read_text(encoding="utf-8") == update_page(), (
        "run python -m tests.helpers.odd_media"
    )
    assert len(KINDS) >= 95
