"""Results in the formats of other tools: COCO, FiftyOne."""
