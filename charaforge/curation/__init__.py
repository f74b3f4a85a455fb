"""From a folder of pictures to a clean table: import, dedupe, tagging, pose, merge."""
