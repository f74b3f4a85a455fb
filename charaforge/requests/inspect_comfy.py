"""ComfyUI's graph as a request: from the node that saves, back through sampler, words, latents and model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from charaforge.requests.inspect_findings import Findings
from charaforge.requests.inspect_others import COMFY_SAMPLERS, COMFY_SCHEDULES

Node = dict[str, Any]

_SAMPLERS = ("KSampler", "KSamplerAdvanced")
_SAVERS = ("SaveImage", "PreviewImage", "SaveImageWebsocket")
_TEXT_KEYS = ("text", "text_g", "text_l", "value", "string", "prompt")
_BRACKET = re.compile(r"(?<!\\)([\[\]])")
_EMBEDDING = re.compile(r"\bembedding:([\w.-]+)")
_WORDS = re.compile(r"\b(A)(ND)\b|\b(B)(REAK)\b")
_MAX_HOPS = 200


def read_comfy(graph: dict[str, Any]) -> Findings:
    """Return what the chunk `prompt` says, a graph in the API's form: id -> class and inputs."""
    nodes = _Graph(graph)
    findings = Findings()
    sampler = nodes.last_sampler()
    if sampler is None:
        findings.miss(f"no KSampler among the nodes: {', '.join(nodes.classes()) or 'none'}")
        return findings
    first = nodes.upstream(sampler, ("latent_image",), _SAMPLERS)
    _put_words(findings, nodes, first or sampler)
    _put_sampling(findings, nodes, first or sampler)
    _put_models(findings, nodes, first or sampler)
    _put_sizes(findings, nodes, sampler, first)
    for name in nodes.classes():
        if name not in nodes.used and name not in _SAVERS:
            findings.miss(f"node {name}")
    return findings


class _Graph:
    """A graph that is walked backwards.

    Args:
        graph: as ComfyUI wrote it, unchecked.
    """

    def __init__(self, graph: dict[str, Any]) -> None:
        self._nodes = {key: node for key, node in graph.items() if isinstance(node, dict)}
        self.used: set[str] = {"VAEDecode", "VAEEncode"}

    def classes(self) -> list[str]:
        return list(dict.fromkeys(kind(node) for node in self._nodes.values()))

    def behind(self, node: Node, name: str) -> Node | None:
        """Return the node that an input is linked to."""
        link = inputs(node).get(name)
        found = self._nodes.get(str(link[0])) if isinstance(link, list) and link else None
        return found

    def chain(self, node: Node | None, names: tuple[str, ...]) -> Iterator[Node]:
        """Yield a node and those behind it, depth first, through the inputs that are named."""
        waiting, seen = [node] if node is not None else [], set[int]()
        while waiting and len(seen) < _MAX_HOPS:
            here = waiting.pop(0)
            if id(here) in seen:
                continue
            seen.add(id(here))
            yield here
            behind = [self.behind(here, name) for name in names]
            waiting = [one for one in behind if one is not None] + waiting

    def upstream(self, node: Node, names: tuple[str, ...], kinds: tuple[str, ...]) -> Node | None:
        """Return the nearest node of some kinds behind `node`."""
        behind = (one for one in self.chain(node, (*names, "samples", "pixels", "image")) if one is not node)
        return next((one for one in behind if kind(one) in kinds), None)

    def last_sampler(self) -> Node | None:
        """Return the sampler nearest to what was saved."""
        savers = [node for node in self._nodes.values() if kind(node) in _SAVERS]
        for node in savers[:_MAX_HOPS]:
            found = self.upstream(node, ("images",), _SAMPLERS)
            if found is not None:
                return found
        return next((node for node in self._nodes.values() if kind(node) in _SAMPLERS), None)


def kind(node: Node) -> str:
    """Return the class of a node."""
    return str(node.get("class_type", ""))


def inputs(node: Node) -> dict[str, Any]:
    """Return the inputs of a node: values, or links [node, output]."""
    found = node.get("inputs")
    return found if isinstance(found, dict) else {}


def _put_words(findings: Findings, nodes: _Graph, sampler: Node) -> None:
    texts = {}
    for role in ("positive", "negative"):
        ways = (role, "conditioning", "conditioning_1", "conditioning_to")
        encoders = [
            node
            for node in nodes.chain(nodes.behind(sampler, role), ways)
            if kind(node).startswith("CLIPTextEncode")
        ]
        texts[role] = _said(nodes, encoders[0]) if encoders else ""
        if len(encoders) > 1:
            findings.miss(f"{role} conditioning of {len(encoders)} texts: the first is taken")
        nodes.used.update(kind(node) for node in encoders)
        for node in encoders[:1]:
            _put_clip(findings, nodes, node)
    findings.put_prompts(_as_a1111(texts["positive"]), _as_a1111(texts["negative"]))


def _said(nodes: _Graph, encoder: Node) -> str:
    """Return the text of an encoder, its own or that of a node that holds it."""
    for node in nodes.chain(encoder, _TEXT_KEYS):
        for key in _TEXT_KEYS:
            value = inputs(node).get(key)
            if isinstance(value, str):
                nodes.used.add(kind(node))
                return value
    return ""


def _as_a1111(text: str) -> str:
    """Return the text with what is plain for ComfyUI escaped: square brackets, AND, BREAK."""
    text = _EMBEDDING.sub(r"\1", _BRACKET.sub(r"\\\1", text))
    return _WORDS.sub(lambda match: "\\".join(part for part in match.groups() if part), text)


def _put_clip(findings: Findings, nodes: _Graph, encoder: Node) -> None:
    for node in nodes.chain(encoder, ("clip",)):
        if kind(node) == "CLIPSetLastLayer":
            nodes.used.add(kind(node))
            layer = inputs(node).get("stop_at_clip_layer")
            findings.put("clip_skip", -layer if isinstance(layer, int) else None)
            return


def _put_sampling(findings: Findings, nodes: _Graph, sampler: Node) -> None:
    told = inputs(sampler)
    nodes.used.add(kind(sampler))
    findings.put("steps", told.get("steps"))
    findings.put("guidance", told.get("cfg"))
    findings.put("seed", told.get("seed", told.get("noise_seed")))
    name, spread = str(told.get("sampler_name", "")), str(told.get("scheduler", ""))
    findings.put_sampler(COMFY_SAMPLERS.get(name, name), COMFY_SCHEDULES.get(spread, spread))


def _put_models(findings: Findings, nodes: _Graph, sampler: Node) -> None:
    for node in nodes.chain(nodes.behind(sampler, "model"), ("model",)):
        told = inputs(node)
        if "lora_name" in told:
            weight = told.get("strength_model", 1.0)
            findings.add_lora(told["lora_name"], weight, told.get("strength_clip", weight))
        elif "ckpt_name" in told or "unet_name" in told:
            findings.put_name("model", told.get("ckpt_name", told.get("unet_name")))
        else:
            continue
        nodes.used.add(kind(node))
    loras = findings.told.get("loras", [])
    loras.reverse()  # the chain is walked from the sampler to the checkpoint


def _put_sizes(findings: Findings, nodes: _Graph, last: Node, first: Node | None) -> None:
    start = next(
        (
            node
            for node in nodes.chain(first or last, ("latent_image", "samples", "pixels", "image"))
            if isinstance(inputs(node).get("width"), int) and kind(node).startswith("Empty")
        ),
        None,
    )
    denoise = inputs(last).get("denoise", 1.0)
    if start is None:
        findings.miss(f"denoise: {denoise}: the picture it was drawn over is not in the file")
        return
    nodes.used.add(kind(start))
    width, height = inputs(start).get("width"), inputs(start).get("height")
    scale = _scale(nodes, last, width) if first is not None else None
    for name, side in (("width", width), ("height", height)):
        whole = round(side * scale / 8) * 8 if scale and isinstance(side, int) else side
        findings.put(name, whole)
    if scale:
        if isinstance(width, int) and isinstance(height, int):
            findings.first_size = (width, height)
        told = {"scale": scale, "denoise": denoise, "steps": inputs(last).get("steps", 0)}
        findings.put("hires", told)
    elif first is not None:
        findings.miss("a second sampler without a known upscale before it")


def _scale(nodes: _Graph, last: Node, width: object) -> float | None:
    """Return how many times larger the second pass is, None where no node says it."""
    for node in nodes.chain(nodes.behind(last, "latent_image"), ("samples", "pixels", "image")):
        told = inputs(node)
        by, wide = told.get("scale_by"), told.get("width")
        if isinstance(by, int | float) and ("Upscale" in kind(node) or kind(node) == "ImageScaleBy"):
            nodes.used.add(kind(node))
            return float(by) if 1.0 < by < 100.0 else None
        if kind(node) in ("LatentUpscale", "ImageScale") and isinstance(wide, int) and isinstance(width, int):
            nodes.used.add(kind(node))
            return wide / width if wide > width > 0 else None
    return None
