"""Speech in many voices, synthesised by espeak-ng, with matching mouth shapes."""

from __future__ import annotations

import _ctypes
import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from quavf.core.clock import SAMPLE_RATE
from quavf.core.errors import QuavfError
from quavf.core.records import Array, Floats
from quavf.simulate.conversation import Conversation, Utterance

# Variants of espeak-ng that sound human; it also has robots and whispers. Test variants never occur
# in training or validation clips.
MEN = [
    "Alex",
    "Andy",
    "Diogo",
    "Gene",
    "Gene2",
    "Henrique",
    "Hugo",
    "Lee",
    "Mario",
    "Michael",
    "Mike",
    "Reed",
    "adam",
    "antonio",
    "benjamin",
    "boris",
    "david",
    "edward",
    "ian",
    "john",
    "max",
    "michel",
    "miguel",
    "norbert",
    "pablo",
    "pedro",
    "quincy",
    "rob",
    "robert",
    "m1",
    "m2",
    "m3",
    "m4",
    "m5",
    "m6",
    "m7",
    "m8",
    "marcelo",
    "paul",
    "ed",
    "klatt3",
    "klatt6",
    "edward2",
    "mike2",
    "grandpa",
    "sandro",
    "travis",
]
WOMEN = [
    "Alicia",
    "Andrea",
    "Annie",
    "anika",
    "aunty",
    "belinda",
    "f1",
    "f2",
    "f3",
    "f4",
    "f5",
    "linda",
    "shelby",
    "steph",
    "steph2",
    "steph3",
    "grandma",
    "Nguyen",
]
TEST_MEN = ("Mike", "adam", "david", "john", "quincy", "m3", "m7", "marcelo", "klatt6", "Lee")
TEST_WOMEN = ("Andrea", "f2", "f5", "linda", "steph2")
ACCENTS = ("en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-us-nyc", "en-029")
ESPEAK_RATE = 22_050
PHONEME, END = 7, 0

OPENERS = ("", "", "", "well", "so", "actually", "you know", "I mean", "right", "but", "oh", "no")
CLAUSES = (
    "the train was late again this morning",
    "we should go there in the summer",
    "did you see the match last night",
    "I put the keys somewhere near the door",
    "it tastes much better with a bit of salt",
    "could somebody pass me the water",
    "my sister moved to a bigger house",
    "they never told us about the meeting",
    "what are you doing on Saturday",
    "that was the funniest thing I ever heard",
    "the dog ate half of the cake",
    "I am not sure it works like that",
    "have you ever been to the mountains",
    "she said she would call after lunch",
    "the price went up by nearly ten percent",
    "who wants to deal the cards",
    "there was a long queue outside the shop",
    "I think we are missing one piece",
    "it depends on how much time you have",
    "he plays the guitar every evening",
    "how long did that take you",
    "the weather looks better on Sunday",
    "put it over there by the window",
    "I have never understood that rule",
    "is it my turn or yours",
    "we can finish the rest tomorrow",
)
TAILS = ("", "", "", "right", "you know", "I think", "maybe", "to be honest", "or something")
BACKCHANNELS = ("mm hm", "yeah", "right", "uh huh", "okay", "really", "oh", "sure")

# opening (0-1) and width (1: at rest) of the mouth, by the first character of the phoneme
OPEN = {"a": 1.0, "A": 1.0, "V": 0.8, "0": 0.85, "O": 0.75, "o": 0.65, "E": 0.7, "e": 0.6}
OPEN |= {"@": 0.5, "3": 0.5, "I": 0.4, "i": 0.35, "U": 0.4, "u": 0.35, "m": 0.0, "b": 0.0, "p": 0.0}
OPEN |= {"f": 0.08, "v": 0.08, "w": 0.2, "_": 0.0, "h": 0.4, "l": 0.35, "r": 0.3, "j": 0.3}
WIDE = {"i": 1.12, "I": 1.06, "e": 1.08, "E": 1.06, "u": 0.78, "U": 0.82, "w": 0.75, "o": 0.82}
WIDE |= {"O": 0.85, "j": 1.05, "S": 0.85, "r": 0.92}
CLOSED_BUT_MOVING = 0.2  # opening for all other phonemes


@dataclass(frozen=True)
class Voice:
    """A person's voice: a variant of espeak-ng and its settings."""

    name: str
    words_per_minute: int
    pitch: int  # 0-99
    lively: int  # pitch range, 0-99
    gain: float  # linear, about 1
    mouth: float  # scale of this person's mouth opening, about 1


@dataclass(frozen=True)
class Speech:
    """One utterance, synthesised."""

    utterance: Utterance  # ends when the sound ends
    text: str
    sound: Floats  # mono at SAMPLE_RATE, RMS of about 1 while speaking
    mouth: Floats  # (n, 3) seconds from the start, opening, width; linear in between


def draw_voice(rng: np.random.Generator, split: str, is_male: bool, spread_db: float) -> Voice:
    """Draw a voice for one person. Test clips use separate variants."""
    held_out = set(TEST_MEN if is_male else TEST_WOMEN)
    names = [n for n in (MEN if is_male else WOMEN) if (n in held_out) == (split == "test")]
    return Voice(
        f"{rng.choice(ACCENTS)}+{rng.choice(names)}",
        words_per_minute=int(np.clip(rng.normal(175, 18), 135, 225)),
        pitch=int(np.clip(rng.normal(48, 12), 15, 85)),
        lively=int(rng.uniform(30, 75)),
        gain=float(10 ** (rng.normal(0, spread_db) / 20)),
        mouth=float(np.clip(rng.normal(1.0, 0.25), 0.4, 1.5)),
    )


def synthesise_conversation(
    conversation: Conversation, voices: list[Voice], rng: np.random.Generator
) -> list[Speech]:
    """Synthesise every utterance at about its planned length; `voices` are indexed by person."""
    speech = []
    for planned in conversation.utterances:
        seconds = planned.end_s - planned.start_s
        voice = voices[planned.speaker]
        text = _draw_text(rng, 1.4 * seconds * voice.words_per_minute / 60, planned.backchannel)
        sound, events = synthesise_text(text, voice, voice.words_per_minute)
        if not planned.backchannel:  # synthesise again at the rate that fits
            rate = voice.words_per_minute * np.clip(len(sound) / SAMPLE_RATE / seconds, 0.85, 1.2)
            sound, events = synthesise_text(text, voice, int(rate))
        longest = int(seconds * SAMPLE_RATE)
        sound = sound[:longest].copy()
        fade = min(400, len(sound))
        sound[len(sound) - fade :] *= np.linspace(1, 0, fade)
        end_s = planned.start_s + len(sound) / SAMPLE_RATE
        utterance = Utterance(
            planned.speaker, planned.addressee, planned.start_s, end_s, planned.backchannel
        )
        speech.append(
            Speech(utterance, text, sound, _trace_mouth(events, voice, len(sound) / SAMPLE_RATE))
        )
    return speech


def _draw_text(rng: np.random.Generator, words: float, backchannel: bool) -> str:
    if backchannel:
        return str(rng.choice(BACKCHANNELS))
    text: list[str] = []
    while len(text) < words:
        opener, tail = str(rng.choice(OPENERS)), str(rng.choice(TAILS))
        text += f"{opener} {rng.choice(CLAUSES)} {tail}".split()
    return " ".join(text[: max(int(words), 2)])


def _trace_mouth(events: list[tuple[float, str]], voice: Voice, seconds: float) -> Floats:
    rows = [(0.0, 0.0, 1.0)]
    for at, phoneme in events:
        sign = phoneme.lstrip(",'%=")[:1] or "_"
        if at < seconds:
            opening = OPEN.get(sign, CLOSED_BUT_MOVING)
            if opening > 0.3 and phoneme.startswith("'"):
                opening *= 1.15
            rows.append((at + 0.03, min(opening * voice.mouth, 1.3), WIDE.get(sign, 1.0)))
    rows.append((seconds, 0.0, 1.0))
    return np.array(sorted(rows))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@contextmanager
def _load_espeak() -> Iterator[Any]:
    """Load a fresh copy of espeak-ng.

    The library keeps noise, echo and pitch state between calls, and `espeak_Terminate` does not
    clear all of it. The same words must sound the same in whatever order clips are made.
    """
    try:
        import espeakng_loader
    except ImportError:
        raise QuavfError(
            "simulation needs espeakng-loader: pip install 'quavf[simulate]'"
        ) from None
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = str(espeakng_loader.get_data_path()).encode()
    unload = getattr(_ctypes, "dlclose", None) or getattr(_ctypes, "FreeLibrary")  # noqa: B009
    try:
        assert library.espeak_Initialize(2, 0, data, 1) == ESPEAK_RATE
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        library.srand(1)  # some voices draw breaths from the C library's generator
        yield library
        library.espeak_Terminate()
    finally:
        unload(library._handle)


def synthesise_text(text: str, voice: Voice, rate: int) -> tuple[Floats, list[tuple[float, str]]]:
    """Synthesise a text: sound at SAMPLE_RATE with unit RMS, and the start of each phoneme in s."""
    waves: list[Array] = []
    events: list[tuple[float, str]] = []

    def collect(wave: Any, n: int, event: Any) -> int:
        if n > 0:
            waves.append(np.ctypeslib.as_array(wave, (n,)).copy())
        at = 0
        while event[at].type != END:
            if event[at].type == PHONEME:
                events.append((event[at].audio_ms / 1000, event[at].name.decode("utf-8", "ignore")))
            at += 1
        return 0

    callback = _CALLBACK(collect)
    with _load_espeak() as library:
        library.espeak_SetSynthCallback(callback)
        if library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise QuavfError(f"espeak-ng has no voice {voice.name!r}")
        for parameter, value in ((1, rate), (3, voice.pitch), (4, voice.lively)):
            library.espeak_SetParameter(parameter, int(value), 0)
        raw = text.encode()
        library.espeak_Synth(raw, len(raw) + 1, 0, 1, 0, 1, None, None)
        library.espeak_Synchronize()
    wave = np.concatenate(waves).astype(np.float64) if waves else np.zeros(2)
    return _normalise_wave(wave), events


def _normalise_wave(wave: Floats) -> Floats:
    """Resample to SAMPLE_RATE, trim trailing silence and scale to unit RMS while speaking."""
    from scipy.signal import resample_poly

    sound = resample_poly(wave, 320, 441)
    loud = np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max())
    if len(loud):
        sound = sound[: loud[-1] + 800]
    power = sound**2
    level = np.sqrt(power[power > 0.01 * power.max()].mean()) if power.max() > 0 else 1.0
    return np.asarray(sound / max(level, 1e-9))


def compute_mouth(speech: list[Speech], person: int, n_frames: int, fps: float) -> Floats:
    """Opening (0 to about 1) and width (1: at rest) of a person's mouth, (frames, 2)."""
    out = np.zeros((n_frames, 2))
    out[:, 1] = 1.0
    for item in speech:
        if item.utterance.speaker != person:
            continue
        start, end = item.utterance.start_s, item.utterance.end_s
        frames = np.arange(max(int(start * fps), 0), min(int(end * fps) + 1, n_frames))
        at = (frames + 0.5) / fps - start
        out[frames, 0] = np.interp(at, item.mouth[:, 0], item.mouth[:, 1])
        out[frames, 1] = np.interp(at, item.mouth[:, 0], item.mouth[:, 2])
    smooth = np.array([0.2, 0.6, 0.2])
    out[:, 0] = np.convolve(np.pad(out[:, 0], 1), smooth, mode="valid")
    return out
