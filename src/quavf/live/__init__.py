"""Live judgement: pictures and sound as they come, events as soon as they are known."""
