"""Bundles on the Hugging Face Hub: `hf://owner/name[@revision]`.

Only files that cannot execute anything are fetched: `bundle.json`, safetensors and ONNX files that
it lists, and the model card. The library keeps them in its cache, and follows `HF_HUB_OFFLINE`,
`HF_ENDPOINT`, `HF_HOME` and `HF_TOKEN`.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from quavf.core.branches import branch_names
from quavf.core.errors import CheckpointError, ConfigError, QuavfError
from quavf.models.bundle import BUNDLE_FILE, SUFFIX
from quavf.models.description import is_safetensors
from quavf.utils.files import read_json

SCHEME = "hf://"
CARD = "README.md"
SAFE_SUFFIXES = (SUFFIX, ".onnx")
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
SPELLING = "write hf://owner/name or hf://owner/name@revision"


@dataclass(frozen=True)
class HubReference:
    """A repository of the Hub, and a branch, tag or commit of it; None: its main branch."""

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{SCHEME}{self.repository}" + (f"@{self.revision}" if self.revision else "")


def is_hub_reference(weights: Path | str) -> bool:
    """Whether weights are named as a repository of the Hub; paths never are."""
    return isinstance(weights, str) and weights.startswith(SCHEME)


def parse_reference(text: str) -> HubReference:
    """Read `hf://owner/name[@revision]`. Raises ConfigError for another text."""
    repository, at, revision = text.removeprefix(SCHEME).partition("@")
    if not REPOSITORY.fullmatch(repository) or (at and not revision.strip()):
        raise ConfigError(f"{text}: not a repository of the Hub; {SPELLING}")
    return HubReference(repository, revision or None)


@cache
def fetch_bundle(text: str) -> Path:
    """The folder of a bundle on the Hub, fetched into the library's cache, once in a process.

    Raises ConfigError for a text that names no repository and without the library, CheckpointError
    if it cannot be fetched, or is not safe to use.
    """
    reference = parse_reference(text)
    folder = _fetch(reference, reference.revision, [BUNDLE_FILE])
    commit = folder.name  # of all further files: somebody may push meanwhile
    if (folder / BUNDLE_FILE).is_file():
        files = _list_files(reference, folder / BUNDLE_FILE)
    else:
        files = [f"{name}{SUFFIX}" for name in branch_names()]
    parts = [f"{glob.escape(str(Path(f).with_suffix('')))}.*.onnx" for f in files if is_onnx(f)]
    folder = _fetch(reference, commit, [BUNDLE_FILE, CARD, *map(glob.escape, files), *parts])
    for file in files:
        _check_content(reference, folder / file)
    return folder


def is_onnx(name: str) -> bool:
    return name.endswith(".onnx")


def push_folder(folder: Path, repository: str, private: bool, message: str) -> str:
    """Upload a folder's files as one commit, into a repository that is made if it is missing.

    Returns the address of the commit. Raises ConfigError if that fails, or for a wrong name.
    """
    if not REPOSITORY.fullmatch(repository):
        raise ConfigError(f"{repository}: not a repository's name; write owner/name")
    hub = _import_hub()
    with _explain(HubReference(repository)):
        api = hub.HfApi()
        api.create_repo(repository, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=repository, folder_path=folder, commit_message=message, commit_description=""
        )
    return str(done.commit_url)


def _fetch(reference: HubReference, revision: str | None, patterns: list[str]) -> Path:
    hub = _import_hub()
    with _explain(reference):
        return Path(
            hub.snapshot_download(reference.repository, revision=revision, allow_patterns=patterns)
        )


def _list_files(reference: HubReference, path: Path) -> list[str]:
    """The files that a fetched `bundle.json` needs. Raises CheckpointError for unsafe ones."""
    try:
        content = read_json(path)
    except QuavfError as error:
        raise CheckpointError(f"{reference}: {error}") from None
    branches = content.get("branches") if isinstance(content, dict) else None
    if not isinstance(branches, dict):
        raise CheckpointError(
            f"{reference}: {BUNDLE_FILE}: branches: expected an object of file names"
        )
    card = content.get("card")
    named = {f"branches.{name}": file for name, file in branches.items()}
    for where, file in {**named, **({"card": card} if card else {})}.items():
        if not isinstance(file, str) or not _stays_inside(file):
            raise CheckpointError(
                f"{reference}: {BUNDLE_FILE}: {where}: {file!r:.80} is not a file of the "
                "repository; nothing was loaded"
            )
        if where != "card" and not file.endswith(SAFE_SUFFIXES):
            raise CheckpointError(
                f"{reference}: {BUNDLE_FILE}: {where}: {file!r:.80} may execute code; only "
                f"{' and '.join(SAFE_SUFFIXES)} files are loaded from the Hub"
            )
    return list(branches.values())


def _stays_inside(file: str) -> bool:
    """Whether a relative path names a file below its folder, on any system."""
    ways = (PurePosixPath(file), PureWindowsPath(file))
    return bool(file) and not any(
        way.is_absolute() or way.drive or way.root or ".." in way.parts for way in ways
    )


def _check_content(reference: HubReference, file: Path) -> None:
    """Raise CheckpointError for a file that is by content no safetensors, such as a pickle."""
    if file.suffix == SUFFIX and file.is_file() and not is_safetensors(file):
        raise CheckpointError(
            f"{reference}: {file.name} is not a safetensors file, whatever its name says; nothing "
            "was loaded"
        )


def _import_hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise ConfigError(
            "hf://: the Hub needs huggingface_hub; install it with `pip install 'quavf[hub]'`"
        ) from None
    return huggingface_hub


@contextmanager
def _explain(reference: HubReference) -> Iterator[None]:
    """Turn the library's errors into one line that says what to do."""
    try:
        yield
    except Exception as error:  # of the library, and of the HTTP library that it uses
        if (text := _describe(reference, error)) is None:
            raise
        raise CheckpointError(f"{reference}: {text}") from None


def _describe(reference: HubReference, error: Exception) -> str | None:
    """Describe what happened and what to do; None for an error that is not the Hub's."""
    from huggingface_hub import errors

    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, errors.GatedRepoError):
        return "its owner asks for an agreement; accept it on the repository's page and log in"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"no branch, tag or commit {reference.revision or 'main'!r} there"
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            "no such repository, or it is private and you have no access; check the name, and log "
            "in with `hf auth login` or set HF_TOKEN"
        )
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        return (
            "not in the local cache, and the Hub cannot be reached; connect, unset HF_HUB_OFFLINE, "
            "or name a folder"
        )
    if isinstance(error, errors.HfHubHTTPError):
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            return "you may not do that; log in with `hf auth login` or set HF_TOKEN"
        return (
            f"the Hub answered {status or 'with an error'} ({' '.join(str(error).split())[:200]})"
        )
    if isinstance(error, errors.HFValidationError):
        return f"not a repository of the Hub; {SPELLING}"
    if names & {"IncompleteSnapshotError", "FileMetadataError"}:
        return "the local cache is incomplete, and the Hub cannot be reached; connect and repeat"
    if type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "requests", "httpcore"):
        return f"no connection to the Hub ({type(error).__name__}); connect and repeat"
    if isinstance(error, OSError):
        return f"cannot be fetched ({error.strerror or ' '.join(str(error).split())[:200]})"
    return None
