"""The audio and the visual branch: models, training, prediction. Sole owner of torch."""
