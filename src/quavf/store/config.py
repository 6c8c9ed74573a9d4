"""Settings that all clips of a store share, and their file, `store.json`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from quavf.core.errors import AnnotationError, ConfigError, StoreError
from quavf.core.semantics import get_semantics
from quavf.utils.files import config_hash, read_json, write_json

FORMAT = 1  # increased when older versions could misread a store
CONFIG_NAME = "store.json"


@dataclass(frozen=True)
class StoreConfig:
    """Settings that all clips of a store share."""

    kind: str  # the source's name ("ego4d", "challenge", ...), "simulated" or "video"
    semantics: str  # one of `SEMANTICS`: tracks, crops and quality regions
    framing: str  # "grown": crops twice as large as the face box; "face": cut at the box

    @property
    def hash(self) -> str:
        return config_hash({"format": FORMAT, **asdict(self)})

    def write(self, store: Path) -> None:
        write_json(store / CONFIG_NAME, {"format": FORMAT, **asdict(self)})

    @classmethod
    def read(cls, store: Path) -> StoreConfig:
        """Raises StoreError if there is no store, or if it has another format version."""
        path = store / CONFIG_NAME
        if not path.is_file():
            raise StoreError(
                f"{store}: no store here (no {CONFIG_NAME}); make it with `quavf prepare`"
            )
        try:
            content = read_json(path)
            if (version := content.pop("format")) != FORMAT:
                raise StoreError(
                    f"{store}: store format {version}, this version reads {FORMAT}; choose another "
                    "--store and prepare again"
                )
            config = cls(**content)
            get_semantics(config.semantics)
        except (AnnotationError, ConfigError, AttributeError, KeyError, TypeError) as error:
            raise StoreError(
                f"{path}: damaged ({error}); delete the store and prepare again"
            ) from None
        return config

    def check_same(self, other: StoreConfig, store: Path) -> None:
        """Raises StoreError if the `store`, which has these settings, is asked for with others."""
        for name, old in asdict(self).items():
            new = getattr(other, name)
            if new != old:
                raise StoreError(
                    f"{store}: made with {name}={old!r}, now asked for {name}={new!r}; "
                    "choose another --store, or delete this one"
                )
