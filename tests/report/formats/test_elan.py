"""ELAN files, read by a reader of its own that knows the rules of ELAN's schema (EAF 2.8)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from quavf.report.formats.elan import format_elan
from quavf.report.formats.timeline import Timeline
from tests.helpers.timelines import DAY_MS, EMPTY, HARD

pytest.importorskip("pympi", reason="pympi-ling is not installed")
ORDER = (
    *("LICENSE", "HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "LOCALE", "LANGUAGE"),
    *("CONSTRAINT", "CONTROLLED_VOCABULARY", "LEXICON_REF", "EXTERNAL_REF"),
)


def read(timeline: Timeline, target: Path = Path("/data/out/report.eaf")) -> ElementTree.Element:
    """The document, after a check against the schema's rules on order, names and references."""
    root = ElementTree.fromstring(format_elan(timeline, target).encode())
    assert root.tag == "ANNOTATION_DOCUMENT"
    assert datetime.fromisoformat(root.attrib["DATE"]).tzinfo
    assert {"AUTHOR", "VERSION", "FORMAT"} <= set(root.attrib)
    tags = [element.tag for element in root]
    assert tags == sorted(tags, key=ORDER.index)
    assert tags.count("HEADER") == tags.count("TIME_ORDER") == 1
    slots = {s.attrib["TIME_SLOT_ID"]: int(s.attrib["TIME_VALUE"]) for s in root.iter("TIME_SLOT")}
    assert len(slots) == len(list(root.iter("TIME_SLOT")))
    assert all(re.fullmatch(r"[A-Za-z_][\w.-]*", slot) for slot in slots)
    assert list(slots.values()) == sorted(slots.values())
    types = [t.attrib["LINGUISTIC_TYPE_ID"] for t in root.iter("LINGUISTIC_TYPE")]
    tiers = [t.attrib["TIER_ID"] for t in root.iter("TIER")]
    assert len(set(types)) == len(types)
    assert len(set(tiers)) == len(tiers)
    assert {t.attrib["LINGUISTIC_TYPE_REF"] for t in root.iter("TIER")} <= set(types)
    found = [a.attrib["ANNOTATION_ID"] for a in root.iter("ALIGNABLE_ANNOTATION")]
    assert len(set(found)) == len(found)
    for annotation in root.iter("ALIGNABLE_ANNOTATION"):
        start, end = (slots[annotation.attrib[f"TIME_SLOT_REF{k}"]] for k in (1, 2))
        assert start < end < 2**32
        assert annotation.find("ANNOTATION_VALUE") is not None
    return root


def stretches(root: ElementTree.Element, tier: str) -> list[tuple[int, int, str]]:
    slots = {s.attrib["TIME_SLOT_ID"]: int(s.attrib["TIME_VALUE"]) for s in root.iter("TIME_SLOT")}
    element = next(t for t in root.iter("TIER") if t.attrib["TIER_ID"] == tier)
    return [
        (
            slots[a.attrib["TIME_SLOT_REF1"]],
            slots[a.attrib["TIME_SLOT_REF2"]],
            str(a.findtext("ANNOTATION_VALUE")),
        )
        for a in element.iter("ALIGNABLE_ANNOTATION")
    ]


def test_tiers_by_person_and_kind() -> None:
    root = read(HARD)
    first = next(root.iter("TIER")).attrib
    assert first["TIER_ID"] == "Person 1 talks to you"
    assert first["PARTICIPANT"] == "Person 1"
    assert first["LINGUISTIC_TYPE_REF"] == "talks to you"
    found = stretches(root, "Person 1 talks to you")
    assert found == [(0, 1, "0.50"), (1000, 2000, "0.90"), (2000, 3000, "0.70")]
    assert stretches(root, "Person 1 talks to you (label)") == [(1500, 3500, "label")]
    looks = [t.attrib["TIER_ID"] for t in root.iter("TIER") if "looks" in t.attrib["TIER_ID"]]
    assert stretches(root, looks[1]) == [(DAY_MS + 1, DAY_MS + 3_600_000, "0.25")]


def test_nobody() -> None:
    """ELAN opens it: it has a tier to write into."""
    root = read(EMPTY)
    assert [t.attrib["TIER_ID"] for t in root.iter("TIER")] == ["default"]


def test_the_video_is_linked() -> None:
    media = next(read(replace(HARD, offset_ms=40)).iter("MEDIA_DESCRIPTOR")).attrib
    assert media == {
        "MEDIA_URL": f"file://{HARD.video}",
        "RELATIVE_MEDIA_URL": f"./../{HARD.video.name}",
        "MIME_TYPE": "video/mp4",
        "TIME_ORIGIN": "40",
    }


def test_no_link_without_a_video(tmp_path: Path) -> None:
    assert not list(read(replace(HARD, video=Path("clip_1"))).iter("MEDIA_DESCRIPTOR"))
    video = tmp_path / "own"
    video.touch()
    media = next(read(replace(HARD, video=video), tmp_path / "a.eaf").iter("MEDIA_DESCRIPTOR"))
    assert media.attrib["RELATIVE_MEDIA_URL"] == "./own"
    assert media.attrib["MIME_TYPE"] == "unknown"
