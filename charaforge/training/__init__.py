"""The LoRA trainer: pictures with captions in, a proven-to-load LoRA file out; `loop.py` tells the story."""
