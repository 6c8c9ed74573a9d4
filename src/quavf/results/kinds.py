"""Kinds of stretches: what a person does, as judged or as labelled."""

TALKING = "talking"
SPEAKING = "speaking"
LOOKING = "looking"
LABEL_TALKING = "label_talking"
LABEL_OTHERS = "label_others"
KINDS = {  # what people read of each kind
    TALKING: "talks to you",
    SPEAKING: "speaks",
    LOOKING: "looks at you",
    LABEL_TALKING: "talks to you (label)",
    LABEL_OTHERS: "talks to others (label)",
}
LABELS = (LABEL_TALKING, LABEL_OTHERS)
