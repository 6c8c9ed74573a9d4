"""Reports: pages, annotated videos, figures and tables."""
