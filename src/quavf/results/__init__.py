"""What the models found: score tables, results of a video, fusion and moments."""
