"""The name under which the fake worker serves; apart, so that a producer can read it without torch."""

MODEL = "fake@000000000000"
