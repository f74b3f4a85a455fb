"""Work on LoRA files: told about, converted, resized, merged, extracted; what `charaforge lora` calls."""
