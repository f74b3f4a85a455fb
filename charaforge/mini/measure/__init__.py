"""Figures of the mini family against its bars, measured through the product's own wrappers."""
