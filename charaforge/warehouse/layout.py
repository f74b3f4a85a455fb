"""The folders of the warehouse. No other file of the project knows their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import MappingProxyType

PROJECT = "charaforge-t2i-lab"


@dataclass(frozen=True)
class Warehouse:
    """The folders below one root (`AI_CACHE_ROOT`).

    Args:
        root: absolute path of the warehouse.
    """

    root: Path

    @property
    def cache_variables(self) -> Mapping[str, Path]:
        """Environment variables of Hugging Face and torch, with the folder each one points to."""
        hf = self.root / "hf"
        return MappingProxyType(
            {
                "HF_HOME": hf,
                "TRANSFORMERS_CACHE": hf / "transformers",
                "HF_DATASETS_CACHE": hf / "datasets",
                "HUGGINGFACE_HUB_CACHE": hf / "hub",
                "TORCH_HOME": self.root / "torch",
            }
        )

    @property
    def models(self) -> Path:
        """Folder of all models."""
        return self.root / "models"

    @property
    def sd(self) -> Path:
        """Base models of the SD1.x family."""
        return self.models / "sd"

    @property
    def sdxl(self) -> Path:
        """Base models of the SDXL family."""
        return self.models / "sdxl"

    @property
    def lora(self) -> Path:
        """LoRA adapters: one folder each, or loose files."""
        return self.models / "lora"

    @property
    def kind_folders(self) -> Mapping[str, tuple[Path, ...]]:
        """Where models of a kind lie; kinds without a folder exist only embedded in the package."""
        return MappingProxyType(
            {
                "base": (self.sd, self.sdxl),
                "vae": (self.models / "vae",),
                "lora": (self.lora,),
                "controlnet": (self.models / "controlnet",),
                "ipadapter": (self.models / "ipadapter",),
                "tagger": (self.models / "taggers",),
                "detector": (self.models / "detectors",),
                "pose": (self.models / "pose",),
                "identity": (self.models / "identity",),
                "annotator": (self.models / "annotators",),
                "safety": (self.models / "safety",),
                "vision": (self.models / "vision",),
                "embedding": (self.embeddings,),
            }
        )

    @property
    def embeddings(self) -> Path:
        """Textual-inversion embeddings."""
        return self.models / "embeddings"

    @property
    def wildcards(self) -> Path:
        """Lists of words that prompts choose from, `<name>.txt`."""
        return self.root / "wildcards"

    @property
    def raw(self) -> Path:
        """Pictures as they came."""
        return self.root / "datasets" / "raw"

    @property
    def processed(self) -> Path:
        """What was derived from pictures: caches, pose maps."""
        return self.root / "datasets" / "processed"

    @property
    def training_cache(self) -> Path:
        """Latents and text-encoder outputs that training runs share; may be deleted at any time."""
        return self.processed / "training-cache"

    @property
    def metadata(self) -> Path:
        """Metadata tables of datasets."""
        return self.root / "datasets" / "metadata"

    @property
    def uploads(self) -> Path:
        """Files that came in over the API."""
        return self.root / "uploads"

    @property
    def outputs(self) -> Path:
        """Everything that this project renders or reports."""
        return self.root / "outputs" / PROJECT

    @property
    def batches(self) -> Path:
        """State of batch jobs."""
        return self.outputs / "batches"

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder that `bootstrap` makes."""
        kinds = [folder for group in self.kind_folders.values() for folder in group]
        data = [self.wildcards, self.raw, self.processed]
        data += [self.metadata, self.uploads, self.batches]
        return (*self.cache_variables.values(), *kinds, *data)

    def output_folder(self, day: date, job: str) -> Path:
        """Return the folder of one job's pictures.

        Args:
            day: the day in UTC.
            job: id of the job, or HHMMSS-6hex for a single request.
        """
        return self.outputs / day.isoformat() / job

    def lora_folder(self, lora_id: str) -> Path:
        """Return the folder of one LoRA: weights, checkpoints, state and card."""
        return self.lora / lora_id

    def portable(self, path: Path) -> str:
        """Return `path` as tables store it: relative to the root when inside it, else absolute."""
        resolved = path.resolve()
        root = self.root.resolve()
        inside = resolved.is_relative_to(root)
        return resolved.relative_to(root).as_posix() if inside else str(resolved)

    def locate(self, stored: str) -> Path:
        """Return the absolute path of a stored one: the inverse of `portable`."""
        return self.root.resolve() / stored
