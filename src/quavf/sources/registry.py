"""The sources of clips: what `quavf prepare NAME` can put into a store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quavf.core.registry import Registry, load_attribute

if TYPE_CHECKING:
    from quavf.core.records import ClipIndex

Reference = Any  # a class or function, or "module:attribute" where importing it costs time


@dataclass(frozen=True)
class SourceSpec:
    """One source of clips.

    Args:
        name: Of its command, `quavf prepare NAME`, and the kind of the stores made from it.
        summary: One sentence for `--help`.
        config: Dataclass of its options; a field without a default is a required option.
        read: `read(config)` returns the `ClipIndex` of all its clips. No media is decoded.
    """

    name: str
    summary: str
    config: Reference
    read: Reference

    def load_config(self) -> type[Any]:
        """The dataclass of the options."""
        config: type[Any] = _load(self.config)
        return config

    def read_index(self, config: Any) -> ClipIndex:
        """The clips that these options select."""
        index: ClipIndex = _load(self.read)(config)
        return index


EGO4D = SourceSpec(
    name="ego4d",
    summary="Cut faces and sound of Ego4D's annotated clips into a store.",
    config="quavf.sources.config:Ego4dConfig",
    read="quavf.sources.ego4d:index_ego4d",
)
CHALLENGE = SourceSpec(
    name="challenge",
    summary="Take the test set of a challenge of Ego4D into a store.",
    config="quavf.sources.config:ChallengeConfig",
    read="quavf.sources.challenge:index_challenge",
)
PUBLISHED = SourceSpec(
    name="published",
    summary="Take the face crops and sound of the published code into a store.",
    config="quavf.sources.config:PublishedConfig",
    read="quavf.sources.published:index_published",
)
EASYCOM = SourceSpec(
    name="easycom",
    summary="Cut faces and sound of EasyCom's sessions into a store.",
    config="quavf.sources.config:EasyComConfig",
    read="quavf.sources.easycom:index_easycom",
)
AVA = SourceSpec(
    name="ava",
    summary="Cut the faces and sound of AVA-ActiveSpeaker's movies into a store.",
    config="quavf.sources.config:AvaConfig",
    read="quavf.sources.ava:index_ava",
)
OWN = SourceSpec(
    name="own",
    summary="Cut faces and sound of videos that you labelled yourself into a store.",
    config="quavf.sources.config:OwnConfig",
    read="quavf.workflows.own:index_own",  # reads results of `quavf run`
)
BUILT_IN = (EGO4D, CHALLENGE, PUBLISHED, EASYCOM, AVA, OWN)
SOURCES: Registry[SourceSpec] = Registry(
    "source",
    "quavf.sources",
    {spec.name: f"quavf.sources.registry:{spec.name.upper()}" for spec in BUILT_IN},
)


def register_source(spec: SourceSpec) -> None:
    """Add a source to `prepare_source` and `quavf prepare`. ConfigError if the name is taken."""
    SOURCES.register(spec.name, spec)


def source_names() -> tuple[str, ...]:
    """All sources: those of the package, own, then those of plug-ins."""
    return SOURCES.names()


def _load(reference: Reference) -> Any:
    return load_attribute(reference) if isinstance(reference, str) else reference
