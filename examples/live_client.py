"""Stream a video to `quavf serve` as it plays, and print who talks to the camera wearer.

    python examples/live_client.py dinner.mp4 [--url ws://127.0.0.1:8765/live] [--token TOKEN]

Needs `pip install av websockets`, and nothing of quavf: copy it to the device. A camera takes the
place of `read_packets`; docs/reference/live_protocol.md describes the messages.
"""

import argparse
import io
import json
import struct
import threading
import time

import av
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

JPEG, PCM = 1, 3
DELAYS_S = (1, 2, 4, 8, 15)  # between two attempts to connect
RATE = 16_000


def read_packets(video):
    """Yield (time_s, message): JPEG pictures and blocks of mono sound, in order of time."""
    with av.open(video) as container:
        resampler = av.AudioResampler("s16", "mono", RATE)
        streams = [container.streams.video[0], *container.streams.audio[:1]]
        for frame in container.decode(*streams):
            if isinstance(frame, av.VideoFrame):
                jpeg = io.BytesIO()
                frame.to_image().save(jpeg, "JPEG", quality=80)
                header = struct.pack("<BBHHHd", JPEG, 0, 0, 0, 0, frame.time)
                yield frame.time, header + jpeg.getvalue()
            else:
                for block in resampler.resample(frame):
                    samples = block.to_ndarray().astype("<i2").tobytes()
                    yield block.time, struct.pack("<BBHId", PCM, 1, 0, RATE, block.time) + samples


def play(connection, video):
    """Send a file at its own pace, then bye."""
    start_s = time.monotonic()
    for time_s, message in read_packets(video):
        time.sleep(max(0.0, start_s + time_s - time.monotonic()))
        connection.send(message)
    connection.send(json.dumps({"type": "bye"}))


def stream(url, token, video):
    """One session; returns when it is over. Raises ConnectionClosed if it ends early."""
    with connect(url, compression=None) as connection:
        connection.send(json.dumps({"type": "hello", "version": 1, "token": token}))
        playing = threading.Thread(target=play, args=(connection, video), daemon=True)
        while True:
            message = json.loads(connection.recv())
            if message["type"] == "welcome":
                print(f"{message['server']}, look-ahead {message['look_ahead']} s", flush=True)
                playing.start()
            elif message["type"] == "event" and message["event"] in ("addressed", "released"):
                words = "talks to me" if message["event"] == "addressed" else "is done"
                print(f"{message['time_s']:6.1f} s: person {message['person']} {words}", flush=True)
            elif message["type"] == "error":
                print(f"the server says: {message['message']}", flush=True)
            elif message["type"] == "end":
                return


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video")
    parser.add_argument("--url", default="ws://127.0.0.1:8765/live")
    parser.add_argument("--token", default="")
    options = parser.parse_args()
    for attempt in range(100):
        try:
            stream(options.url, options.token, options.video)
            break
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else 1006
            if code >= 4000 or code == 1009:
                raise SystemExit(f"closed with {code}: trying again would not help") from closed
        except OSError as error:
            print(f"cannot reach {options.url}: {error}", flush=True)
        time.sleep(DELAYS_S[min(attempt, len(DELAYS_S) - 1)])


if __name__ == "__main__":
    main()
