"""The attribute tables of the mini world: everything a picture of it can show, and the words for it.

Colours are sRGB triples, 0-255. All sizes are pixels of a 128 px picture. Changing anything that
moves pixels means raising ``WORLD_VERSION``: every mini model card records the version it was trained on.
"""

from typing import Final

WORLD_VERSION: Final = 1
NATIVE_SIDE: Final = 128
"""Side in pixels of the square pictures that the mini family works on."""

RGB = tuple[float, float, float]

HAIR_COLORS: Final[dict[str, RGB]] = {
    "black": (56, 50, 68),
    "brown": (132, 82, 54),
    "blonde": (248, 208, 98),
    "red": (208, 52, 56),
    "pink": (250, 150, 186),
    "blue": (72, 126, 226),
    "green": (84, 178, 104),
    "purple": (146, 92, 206),
    "white": (230, 230, 242),
    "orange": (244, 138, 48),
}
EYE_COLORS: Final[dict[str, RGB]] = {
    "blue": (44, 122, 246),
    "red": (230, 36, 48),
    "green": (34, 172, 72),
    "yellow": (246, 196, 30),
    "purple": (158, 66, 226),
    "brown": (132, 76, 36),
}
CLOTHES_COLORS: Final[dict[str, RGB]] = {
    "red": (218, 58, 62),
    "blue": (62, 108, 212),
    "green": (72, 160, 98),
    "yellow": (250, 208, 72),
    "pink": (250, 162, 194),
    "purple": (148, 100, 204),
    "black": (60, 58, 74),
    "white": (244, 244, 250),
}
HAIR_STYLES: Final = (
    "short hair",
    "bob cut",
    "long hair",
    "twintails",
    "side ponytail",
    "double bun",
    "twin braids",
    "spiked hair",
)
BANGS: Final = ("blunt bangs", "swept bangs", "parted bangs")
OUTFITS: Final = ("hoodie", "shirt", "dress", "serafuku", "sweater", "kimono", "overalls", "maid")
ACCESSORIES: Final = ("none", "hair bow", "cat ears", "glasses", "beret", "headphones", "crown", "scarf")
POSES: Final = (
    "standing",
    "waving",
    "arms up",
    "hands on hips",
    "spread arms",
    "pointing",
    "running",
    "jumping",
    "sitting",
    "standing on one leg",
)
UPPER_BODY_POSES: Final = POSES[:6]
"""Poses told by the arms alone: the ones an upper-body picture can show."""
EXPRESSIONS: Final = ("smile", "open mouth", "closed eyes", "angry")
BACKGROUNDS: Final[dict[str, RGB]] = {
    "white": (255, 255, 255),
    "grey": (190, 192, 202),
    "blue": (176, 214, 250),
    "pink": (254, 208, 224),
    "green": (196, 232, 190),
    "yellow": (254, 238, 176),
    "outdoors": (168, 216, 252),
    "night sky": (38, 44, 92),
}
FRAMINGS: Final = ("full body", "upper body")

SIGNATURE_KINDS: Final = ("split hair", "horns", "mask", "wings", "capelet")
"""Traits that only characters have; the base model never sees one in training."""
SIGNATURE_COLORS: Final[dict[str, RGB]] = {
    "aqua": (58, 226, 214),
    "lime": (178, 236, 28),
    "magenta": (228, 32, 168),
    "navy": (32, 42, 130),
    "vermilion": (238, 70, 16),
    "teal": (0, 118, 116),
}

SKIN: Final[RGB] = (255, 228, 208)
"""Skin tone of every figure (the mini world varies what a tagger can name, and skin it cannot)."""
