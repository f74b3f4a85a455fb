"""Diffusion models as typed bundles: loading, prompt encoding, noise maths, samplers, LoRA files."""
