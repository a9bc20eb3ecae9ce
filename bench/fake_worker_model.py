"""What the fake worker serves, and the jobs that it fails; apart, so that a producer can read it without torch."""

MODEL = "fake@000000000000"
#: Jobs whose ids begin so raise: each image before it reaches the engine, or after it.
RAISES, LATE = "raises-", "late-"
