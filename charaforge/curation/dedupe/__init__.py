"""Finding pictures that are copies of each other: by content, by perceptual hash, by a closer look."""
