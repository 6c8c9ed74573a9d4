"""From boxes to face crops and their quality."""
