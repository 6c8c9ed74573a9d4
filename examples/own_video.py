"""Who talks to the camera wearer in a video, and when.

    python examples/own_video.py dinner.mp4 [--out out]

Writes scores, moments and a report page to the output folder, and prints the moments.
"""

import argparse

import quavf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video")
    parser.add_argument("--out", default="out")
    options = parser.parse_args()

    pipeline = quavf.load("small", quavf.RunConfig(annotated=False))  # the networks, loaded once
    run = pipeline.run(options.video, options.out)
    for note in run.notes:
        print(f"note: {note}")
    for person in run.persons:
        scores = run.scores[person.number]
        print(
            f"person {person.number}: seen from {person.first_s:.1f} to {person.last_s:.1f} s, "
            f"{len(scores)} scores, on average {scores.fused.mean():.2f}"
        )
    for moment in run.moments:
        print(
            f"person {moment.person} talks to me from {moment.start_s:.1f} to {moment.end_s:.1f} s "
            f"(confidence {moment.confidence:.2f})"
        )
    print(f"report: {options.out}/report.html")


if __name__ == "__main__":
    main()
