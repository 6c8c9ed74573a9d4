"""Names of the formats, apart from what writes them, which imports much."""

FORMAT_NAMES = ("elan", "vtt", "rttm", "textgrid", "csv", "json")
