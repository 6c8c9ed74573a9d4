"""Evaluation of scores against labels, and the submission file of the challenge."""
