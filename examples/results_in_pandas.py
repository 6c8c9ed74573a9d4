"""Look at scores in pandas: averages by person, and how the branches agree by face quality.

    python examples/results_in_pandas.py SCORES

SCORES is a folder that `quavf predict` made. Results of `quavf run` are read in the same way: their
`scores.parquet` has `time_s` and boxes instead of `clip`.
"""

import argparse
from pathlib import Path

import pandas as pd


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scores", type=Path)
    options = parser.parse_args()

    scores = pd.read_parquet(options.scores / "scores.parquet")  # missing scores are NaN
    print(scores.describe())

    persons = scores.groupby(["clip", "person"])["fused"].agg(["count", "mean", "max"])
    print(persons.sort_values("mean", ascending=False))

    scores["agree"] = (scores["audio"] >= 0.5) == (scores["visual"] >= 0.5)
    bins = pd.cut(scores["quality"], [0, 0.25, 0.5, 0.75, 1], include_lowest=True)
    print(scores.groupby(bins, observed=True)["agree"].mean().rename("branches agree"))


if __name__ == "__main__":
    main()
