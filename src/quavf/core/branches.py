"""The branches of the model: what the package knows of each, and the registry of all.

Score tables, fusion, evaluation, reports, options and recipes are derived from these
specifications; nothing else in the package names a branch. To add one, see `docs/extend.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quavf.core.registry import Registry, load_attribute

if TYPE_CHECKING:  # numpy would slow down `quavf --help`
    from quavf.core.records import Floats

Reference = Any  # a class or function, or "module:attribute" where importing it costs time

QUALITY = "quality"  # column: the mean face quality of a visual window
FUSED = "fused"  # column: the fused score
SPEAKING = "speaking"  # column: the probability of speaking, to anybody
LOOKING = "looking"  # column: the probability of looking at the camera wearer


def trust_evenly(quality: Floats) -> Floats:
    """Half of the weight that audio and visual share, whatever the face quality (N,)."""
    import numpy as np

    return np.full(len(quality), 0.5)


def trust_fully(quality: Floats) -> Floats:
    """As much weight as audio and visual share, whatever the face quality (N,)."""
    import numpy as np

    return np.ones(len(quality))


@dataclass(frozen=True)
class BranchSpec:
    """One branch of the model, from its options to its place in the report.

    Args:
        name: Its score column, its option (`--audio CKPT`), its recipes' file, its checkpoint's
            `branch`. A Python identifier.
        title: What reports call it, such as "Sound".
        summary: What it judges by, for `--help`, such as "what is heard".
        colour: Of its curves and bars, as "#E69F00".
        model_config: Dataclass of the model's settings.
        network: `network(model_config, settings)` makes the torch module. The module has the
            attributes `name` (the branch's), `config` and `settings`.
        predictor: `Predictor` subclass that scores clips and videos with the module.
        training: `BranchTraining` subclass: training data, loss and cache. None: not trainable.
        train_config: `TrainConfig` subclass: the options of `quavf train NAME`.
        weight: How far the fusion trusts the branch at a face quality (N,) in [0, 1].
        columns: Score columns that the branch writes beside its own.
        uses_sound: Whether it needs the sound of a clip.
        uses_quality: Whether it reads the quality of faces, for which a scorer is chosen.
        graphs: `graphs(module)` gives the networks as graphs for other runtimes, the costly one
            first, and `remote` puts a model together of what runs them. None: torch only.
        is_small: Whether the network is so small that torch runs it in fp32, however the others
            run.
        remote: `remote(model_config, settings, *networks)`.
        published: Reader of the published system's checkpoints. None: there are none.
    """

    name: str
    title: str
    summary: str
    colour: str
    model_config: Reference
    network: Reference
    predictor: Reference
    training: Reference = None
    train_config: Reference = None
    weight: Callable[[Floats], Floats] = trust_evenly
    columns: tuple[str, ...] = ()
    uses_sound: bool = False
    uses_quality: bool = False
    is_small: bool = False
    graphs: Reference = None
    remote: Reference = None
    published: Reference = None

    def load(self, part: str) -> Any:
        """The class or function of a field, imported where the field is a reference."""
        value = getattr(self, part)
        return load_attribute(value) if isinstance(value, str) else value


AUDIO = BranchSpec(
    name="audio",
    title="Sound",
    summary="what is heard",
    colour="#E69F00",
    model_config="quavf.models.config:AudioConfig",
    network="quavf.models.audio:AudioBranch",
    predictor="quavf.inference.audio:AudioPredictor",
    training="quavf.training.audio:AudioTraining",
    train_config="quavf.training.config:TrainAudioConfig",
    weight=lambda quality: 1 - quality,
    uses_sound=True,
    graphs="quavf.models.graphs:audio_graphs",
    remote="quavf.inference.remote:RemoteAudio",
    published="quavf.models.published:read_audio",
)
VISUAL = BranchSpec(
    name="visual",
    title="Face",
    summary="what the face shows",
    colour="#0072B2",
    model_config="quavf.models.config:VisualConfig",
    network="quavf.models.visual:VisualBranch",
    predictor="quavf.inference.visual:VisualPredictor",
    training="quavf.training.visual:VisualTraining",
    train_config="quavf.training.config:TrainVisualConfig",
    weight=lambda quality: quality,
    columns=(QUALITY,),
    uses_quality=True,
    graphs="quavf.models.graphs:visual_graphs",
    remote="quavf.inference.remote:RemoteVisual",
    published="quavf.models.published:read_visual",
)

CUES = BranchSpec(
    name="cues",
    title="Cues",
    summary="what lips, head and voices tell",
    colour="#7B52C0",
    model_config="quavf.models.config:CuesConfig",
    network="quavf.models.cues:CuesBranch",
    predictor="quavf.inference.cues:CuesPredictor",
    training="quavf.training.cues:CuesTraining",
    train_config="quavf.training.config:TrainCuesConfig",
    weight=trust_fully,
    columns=(SPEAKING, LOOKING),
    uses_sound=True,
    is_small=True,
    graphs="quavf.models.graphs:cues_graphs",
    remote="quavf.inference.remote:RemoteCues",
)

STANDARD = (AUDIO, VISUAL)  # those of the published system: every table has their columns
BUILT_IN = (*STANDARD, CUES)
BRANCHES: Registry[BranchSpec] = Registry(
    "branch",
    "quavf.branches",
    {spec.name: f"quavf.core.branches:{spec.name.upper()}" for spec in BUILT_IN},
)


def register_branch(spec: BranchSpec) -> None:
    """Add a branch to all commands of this process. Raises ConfigError if the name is taken."""
    BRANCHES.register(spec.name, spec)


def branch_names() -> tuple[str, ...]:
    """All branches: audio, visual, then those of plug-ins."""
    return BRANCHES.names()


def branch_specs() -> tuple[BranchSpec, ...]:
    """The specifications of all branches, in the order of `branch_names`."""
    return tuple(BRANCHES.get(name) for name in branch_names())


def score_columns() -> tuple[str, ...]:
    """The columns of scores that are always there: those of the standard branches, then fused."""
    own = [column for spec in STANDARD for column in (spec.name, *spec.columns)]
    return (*own, FUSED)


def known_columns() -> tuple[str, ...]:
    """All columns that scores may have: those of every registered branch, then fused."""
    own = [column for spec in branch_specs() for column in (spec.name, *spec.columns)]
    return (*dict.fromkeys([*score_columns()[:-1], *own]), FUSED)
