"""Branches ready to predict, and their scores of a clip."""
