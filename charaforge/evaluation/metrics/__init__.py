"""One metric per file, each with its name, unit, direction and what it needs.

Shape legend of all metrics: N pictures, R references, D dimensions of an embedding, T tags; pictures in the
order of prompts, seeds within each prompt.
"""
