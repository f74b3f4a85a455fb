"""Pictures rendered with the finished LoRA, by the same generator and settings that users have."""

from __future__ import annotations

from charaforge.generation.generator import Generator
from charaforge.generation.outputs import save
from charaforge.requests.generation import MAX_SEED, GenerationRequest, LoraUse
from charaforge.training.config import TrainingConfig


def render_samples(config: TrainingConfig, model: str, generator: Generator) -> None:
    """Render every prompt of `sample_prompts` with the run's seed into `samples/`.

    Args:
        config: the run; its LoRA is in the warehouse under its id.
        model: registry name of the base.
        generator: renders.
    """
    loras = (LoraUse(name=config.lora_id),)
    requests = [
        GenerationRequest(prompt=prompt, model=model, loras=loras, seed=config.seed % (MAX_SEED + 1))
        for prompt in config.sample_prompts
    ]
    for image in generator.generate_many(requests):
        save(image, config.output_dir / "samples")
