"""Open a voice agent's microphone only while somebody talks to the camera wearer.

    python examples/agent_gate.py dinner.mp4

A file stands for the camera and microphone, played faster than it happened, and `StubAgent` for
the agent; no service is needed. What matters is `Gate`: it keeps the last seconds of sound, and
when `addressed` comes, half a second or so after the person began, it passes on the sound from
where the speech began, so that no word is lost; on `released` it closes after a moment.

Where it goes:

Pipecat      A FrameProcessor between the transport's input and the speech recogniser: put
             InputAudioRawFrame through `Gate.hear` and push what it returns; feed the session with
             InputImageRawFrame from the same transport. On `addressed`, push a
             UserStartedSpeakingFrame; on `released`, a UserStoppedSpeakingFrame, instead of those
             of the transport's voice detector.
LiveKit      In Agent.stt_node(audio, settings), iterate over `audio`, put each AudioFrame through
             `Gate.hear`, and yield what it returns to Agent.default.stt_node; feed the session
             from rtc.VideoStream of the participant's camera track.

The names are those of the frameworks' documentation; this file does not import them.
"""

import argparse
from collections import deque

import av

import quavf

RATE = 16_000
KEPT_S = 3.0  # of sound before the event
BEFORE_S = 0.3  # the agent hears before the first word
AFTER_S = 0.5  # and after the last


class Gate:
    """Sound in; out comes what was said to the wearer.

    Blocks are (time_s, samples). The gate is open from the start of each addressed stretch, less
    BEFORE_S, to its end, plus AFTER_S.
    """

    def __init__(self):
        self._kept = deque()
        self._talking = set()  # persons
        self._open_until_s = float("-inf")

    def take(self, event):
        """Follow the session's events; return the sound that waited for this one."""
        if event.kind == "addressed":
            self._talking.add(event.person)
            start_s = event.time_s if event.since_s is None else event.since_s
            waiting = [block for block in self._kept if block[0] >= start_s - BEFORE_S]
            self._kept.clear()
            return waiting
        if event.kind in ("released", "lost") and event.person in self._talking:
            self._talking.discard(event.person)
            self._open_until_s = event.time_s + AFTER_S
        return []

    def hear(self, time_s, samples):
        """Return the block if the gate is open, and keep it if it is not."""
        if self._talking or time_s < self._open_until_s:
            return [(time_s, samples)]
        self._kept.append((time_s, samples))
        while self._kept[0][0] < time_s - KEPT_S:
            self._kept.popleft()
        return []


class StubAgent:
    """Stands for a realtime voice agent: counts what it gets to hear."""

    def __init__(self):
        self.heard_s = 0.0

    def listen(self, blocks):
        for time_s, samples in blocks:
            if not self.heard_s:
                print(f"  the agent hears from {time_s:.1f} s")
            self.heard_s += len(samples) / RATE


def read(video):
    """Yield (time_s, picture or None, samples or None) in order of time."""
    with av.open(video) as container:
        resampler = av.AudioResampler("s16", "mono", RATE)
        for frame in container.decode(container.streams.video[0], *container.streams.audio[:1]):
            if isinstance(frame, av.VideoFrame):
                yield frame.time, frame, None
            else:
                for block in resampler.resample(frame):
                    yield block.time, None, block.to_ndarray()[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video")
    options = parser.parse_args()

    gate, agent, total_s = Gate(), StubAgent(), 0.0
    config = quavf.LiveConfig(look_ahead=0.3, real_time=False)  # a file can wait; a camera cannot
    with quavf.load("talk").live(config=config) as session:
        for time_s, picture, samples in read(options.video):
            if samples is not None:
                session.audio(samples, time_s, RATE)
                agent.listen(gate.hear(time_s, samples))
                total_s += len(samples) / RATE
            elif session.wants(time_s):
                session.video(picture.to_ndarray(format="rgb24"), time_s)
            for event in session.events():
                agent.listen(gate.take(event))
                if event.kind in ("addressed", "released"):
                    print(f"{event.time_s:6.1f} s: {event.kind} by person {event.person}")
    print(f"the agent heard {agent.heard_s:.1f} of {total_s:.1f} s")


if __name__ == "__main__":
    main()
