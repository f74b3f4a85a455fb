"""What an evaluation found out: the content of ``report.json``, from which ``report.html`` is drawn."""

from pydantic import Field

from charaforge.config import StrictModel
from charaforge.evaluation.statistics import Interval, Share
from charaforge.evaluation.threshold import Threshold


class PictureScore(StrictModel):
    """One generated picture, judged."""

    prompt_id: str = Field(description="id of the prompt")
    seed: int = Field(description="seed of the picture")
    file: str = Field(description="PNG file, relative to the report")
    likeness: float = Field(description="median cosine to the held-out references, -1 to 1")
    accepted: bool = Field(description="likeness reaches the threshold")
    signature: str = Field(description="signature trait that the second judge sees; empty: none, or no judge")


class ArmResult(StrictModel):
    """All pictures of one way to ask for the character."""

    name: str = Field(description="short name, also the folder of its pictures")
    label: str = Field(description="what is compared, in words")
    character_words: str = Field(description="what stood for the character in the prompts")
    accepted: Share = Field(description="share of pictures accepted as the character")
    signature: Share | None = Field(
        description="share showing the character's signature trait; None: no judge"
    )
    pictures: tuple[PictureScore, ...] = Field(description="prompts in order, seeds within each prompt")


class Ceiling(StrictModel):
    """Real pictures of the character, judged in the same way."""

    accepted: Interval = Field(description="share of real pictures accepted; independent pictures")
    likenesses: tuple[float, ...] = Field(description="likeness of each real picture to the other references")
    signature: Interval | None = Field(description="share showing the signature trait; None: no judge")


class PromptRecord(StrictModel):
    """A prompt as the report names it."""

    id: str = Field(description="id in the prompts file")
    prompt: str = Field(description="text, with placeholders")
    group: str = Field(description="group in the prompts file")


class Evaluation(StrictModel):
    """The whole result of judging one LoRA."""

    character: str = Field(description="name of the character, which is also its trigger word")
    traits: tuple[str, ...] = Field(description="tags that describe it as well as words can")
    signature: str = Field(
        description="signature trait that the second judge sees in the references; may be empty"
    )
    model: str = Field(description="base model")
    lora: str = Field(description="name of the LoRA")
    lora_sha256: str = Field(description="sha256 of the LoRA's file")
    identity_model: str = Field(description="model that measures likeness")
    judge_model: str = Field(description="second judge; empty: none")
    references: tuple[str, ...] = Field(description="held-out reference pictures")
    thresholds: tuple[Threshold, ...] = Field(description="one per kind of impostors")
    threshold: Threshold = Field(description="the strictest of them, which decides")
    impostor_histogram: tuple[int, ...] = Field(description="real impostors per bin of HISTOGRAM_EDGES")
    prompts: tuple[PromptRecord, ...] = Field(description="prompts in order")
    seeds: tuple[int, ...] = Field(description="seeds in order")
    arms: tuple[ArmResult, ...] = Field(description="baselines first, then the LoRA, then controls")
    ceiling: Ceiling = Field(description="real pictures of the character")
    gain: Interval = Field(description="LoRA minus base + traits in words, paired by prompt")
    bar: float = Field(description="share that the lower bound must reach")
    command: str = Field(description="command line that repeats the measurement")
    environment: dict[str, str] = Field(description="versions and hardware")
    seconds: dict[str, float] = Field(description="time per stage, s")

    def arm(self, name: str) -> ArmResult:
        """The arm of this name; KeyError if there is none."""
        return {arm.name: arm for arm in self.arms}[name]

    @property
    def passed(self) -> bool:
        """Whether the lower bound of the LoRA's share reaches the bar."""
        return self.arm("lora").accepted.low >= self.bar


HISTOGRAM_EDGES = tuple(round(-1 + 0.04 * i, 2) for i in range(51))
"""Bin edges of likeness histograms."""
