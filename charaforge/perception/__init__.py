"""Models that look at pictures (taggers, pose, identity, upscaler): lists of PIL pictures in, numpy out."""
