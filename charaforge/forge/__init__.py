"""The whole road as one call: pictures of a character in, a LoRA and its report out."""
