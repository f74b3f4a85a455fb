"""What one picture is made from beside its words: start, maps and references, read and made ready."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.generation.canvas import Canvas, make_canvas, on_white
from charaforge.generation.control_maps import MapMaker
from charaforge.generation.input_files import InputFiles
from charaforge.generation.provenance import Setting
from charaforge.generation.tools import ToolShelf
from charaforge.requests.generation import GenerationRequest


@dataclass(frozen=True)
class PictureInputs:
    """The inputs of one picture.

    Attributes:
        canvas: the picture to start from, where there is one.
        maps: uint8 (H, W, 3) for each control of the first pass, and for each of the last.
        references: RGB, one for each reference.
        names: path -> `sha256:<hex>` of every file that was read.
        tools: name -> sha256 of the nets that made the maps.
    """

    canvas: Canvas | None = None
    maps: tuple[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]], ...] = ()
    references: tuple[Image.Image, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)


def read_inputs(
    request: GenerationRequest, setting: Setting, files: InputFiles, tools: ToolShelf
) -> PictureInputs:
    """Read and prepare the inputs of a picture.

    Raises:
        UsageError: a file is missing, damaged, or of no use for what it is named for.
    """
    names: dict[str, str] = {}

    def read(name: str) -> Any:
        file = files.read(name)
        names[name] = file.name
        return file

    size = setting.size
    canvas = None
    if request.init is not None:
        picture = read(request.init.image).picture()
        mask = None if request.init.mask is None else read(request.init.mask).picture()
        asked = (request.width, request.height)
        canvas = make_canvas(request.init, picture, mask, asked, (size.width, size.height))
    makers = [MapMaker(tools, setting.base.card, box) for box in (size.begun, (size.width, size.height))]
    maps = []
    for control in request.controls:
        file = None if control.image is None else read(control.image)
        first = makers[0].make(control, file)
        maps.append((first, makers[1].make(control, file) if size.first else first))
    references = tuple(on_white(read(reference.image).picture()) for reference in request.references)
    return PictureInputs(canvas, tuple(maps), references, names, makers[0].used | makers[1].used)


def named_by_content(request: GenerationRequest, names: Mapping[str, str]) -> GenerationRequest:
    """Return the request with its files named by `sha256:<hex>` instead of by path."""
    told = request.model_dump()
    holders = [told["init"] or {}, *told["controls"], *told["references"]]
    for holder in holders:
        for key in ("image", "mask", "face_ref", "style_ref"):
            if holder.get(key) in names:
                holder[key] = names[holder[key]]
    return type(request).model_validate(told)
