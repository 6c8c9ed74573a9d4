"""Score a store with the published checkpoints, and convert them to our format.

    python examples/published_checkpoints.py STORE audio.ckpt visual.ckpt [--out scores]

The checkpoints are read without executing anything in them. The converted files load without any
other option, and hold everything that prediction needs.
"""

import argparse
from pathlib import Path

import quavf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("audio")
    parser.add_argument("visual")
    parser.add_argument("--out", type=Path, default=Path("scores"))
    options = parser.parse_args()

    converted = {}
    for name in ("audio", "visual"):
        branch = quavf.load_branch(getattr(options, name))
        print(f"{name}: {branch.config}")
        converted[name] = options.out / f"{name}.safetensors"
        quavf.save_branch(converted[name], branch)

    summary = quavf.predict(options.store, options.out, **converted)
    print(f"{summary.rows} faces of {summary.clips} clips scored: {options.out}/scores.parquet")


if __name__ == "__main__":
    main()
