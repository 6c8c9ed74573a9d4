"""Findings of the models: score tables, results of a video, fusion and moments."""
