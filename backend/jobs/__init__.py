"""The queue: where jobs wait, who does them, and what they do."""
