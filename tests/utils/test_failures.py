from __future__ import annotations

from pathlib import Path

from quavf.core.errors import MediaError
from quavf.utils.failures import describe_failure


def test_an_unexpected_error_is_kept_and_named_in_one_line(tmp_path: Path) -> None:
    try:
        raise KeyError("a\nb")
    except KeyError as error:
        line = describe_failure(error, tmp_path / "new" / "error.log")
    assert line.startswith("KeyError: 'a\\nb' (unexpected; the details are in ")
    assert "raise KeyError" in (tmp_path / "new" / "error.log").read_text()


def test_an_error_of_the_user_needs_no_log(tmp_path: Path) -> None:
    assert describe_failure(MediaError("x: gone"), tmp_path / "error.log") == "x: gone"
    assert not list(tmp_path.iterdir())


def test_no_log_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = describe_failure(ValueError(), tmp_path / "file" / "error.log")
    assert line == "ValueError (unexpected)"
