"""The whole way from annotated clips to a submission, on simulated data in Ego4D's layout.

    python examples/ego4d_end_to_end.py [--out ego4d_example] [--clips 4] [--seconds 6]

With the real data, leave the simulation out and give your own folders. The networks here are
miniatures with random weights that train in seconds; leave the model settings out for the published
ones.
"""

import argparse
from pathlib import Path

import quavf

AUDIO = quavf.AudioConfig(
    encoder="16x1x2", encoder_weights="random", frozen=False, dim=16, n_heads=2
)
VISUAL = quavf.VisualConfig(
    backbone="test_vit", backbone_weights="random", size=64, frozen=False, dim=16, n_heads=2
)
WINDOWS = quavf.WindowConfig(n_slots=3, min_quality=0.0)  # the clips are short
TRAINER = quavf.TrainerConfig(epochs=1, batch_size=8, lr=1e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("ego4d_example"))
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=6.0)
    options = parser.parse_args()
    data, out = options.out / "data", options.out

    world = quavf.SimulateConfig(
        seed=2,
        clips=options.clips,
        seconds=options.seconds,
        preset="clean",
        val_share=0.25,
        test_share=0.25,
    )
    quavf.simulate_clips(data, world)

    store, challenge = out / "store", out / "challenge"
    quavf.prepare_ego4d(data / "annotations", data / "clips", store)
    quavf.prepare_challenge(data / "test" / "final_test_data", challenge)
    for folder in (store, challenge):
        quavf.score_quality(folder, "light")

    audio, visual = out / "runs" / "audio", out / "runs" / "visual"
    quavf.train_audio(store, audio, quavf.TrainAudioConfig(audio=AUDIO, trainer=TRAINER))
    quavf.train_visual(
        store, visual, quavf.TrainVisualConfig(visual=VISUAL, windows=WINDOWS, trainer=TRAINER)
    )

    # All labelled clips, since this validation split is tiny; otherwise PredictConfig(split="val").
    quavf.predict(store, out / "scores", audio, visual)
    evaluation = quavf.evaluate(out / "scores", store, out / "evaluation")
    for name, system in evaluation.frame.systems.items():
        print(f"{name}: mAP {system.map:.3f}")

    quavf.predict(challenge, out / "challenge_scores", audio, visual)
    quavf.write_submission(out / "challenge_scores", out / "submission.json")
    problems = quavf.check_submission(out / "submission.json", challenge)
    print("submission:", "; ".join(problems) or "valid")


if __name__ == "__main__":
    main()
