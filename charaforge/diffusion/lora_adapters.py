"""LoRAs in a bundle: attached beside the base weights as peft adapters, never fused into them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, cast

from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer as PeftLayer
from torch import Tensor, nn

from charaforge.diffusion.bundle import Bundle
from charaforge.diffusion.lora_format import TEXT_PREFIX, UNET_PREFIX, LoraFile, LoraLayer
from charaforge.errors import ModelFileError
from charaforge.logs import get_logger

logger = get_logger(__name__)


def layer_paths(bundle: Bundle) -> dict[str, tuple[nn.Module, str]]:
    """Return every layer that a LoRA can adapt: kohya's name -> (model it is part of, path within that)."""
    return {
        kohya_name(prefix, path): (model, path)
        for prefix, model in _models(bundle)
        for path, module in _base_layers(model)
        if isinstance(module, nn.Linear | nn.Conv2d)
    }


def kohya_name(prefix: str, path: str) -> str:
    """Return kohya's name of the layer at `path`, a dotted path within the UNet or the text encoder."""
    return prefix + path.removeprefix("text_model.").replace(".", "_")


def attach(bundle: Bundle, lora: LoraFile, adapter: str) -> None:
    """Put a LoRA beside the bundle's weights; it acts when `activate` names it.

    Args:
        bundle: the model.
        lora: what to attach.
        adapter: a name of its own among those attached; letters, digits, "_" and "-".

    Raises:
        ModelFileError: no layer of the file is one of the model's, or a layer has another shape; it names the
            base that the LoRA was made for. The bundle is then as it was before.
    """
    known = layer_paths(bundle)
    named = {_current_name(name): layer for name, layer in lora.layers.items()}
    found = {name: layer for name, layer in named.items() if name in known}
    if not found:
        raise ModelFileError(
            f"none of the {len(named)} layers of the LoRA fits {bundle.name!r}; it was made for {lora.base}",
            "choose a LoRA made for this base, or the base that it was made for",
        )
    if len(found) < len(named):
        left_out = sorted(named.keys() - found.keys())
        logger.warning("%d layers of the LoRA are not in %s: %s …", len(left_out), bundle.name, left_out[0])
    for name, layer in found.items():
        _check_shape(bundle, lora, name, layer, known[name])
    for _, model in _models(bundle):
        _inject(model, {p: found[n] for n, (m, p) in known.items() if m is model and n in found}, adapter)
    activate(bundle, {})


def activate(bundle: Bundle, weights: Mapping[str, float]) -> None:
    """Let exactly these adapters act, each with its weight (1 = as trained); all others have no effect."""
    for _, layer in adapted_layers(bundle):
        layer.set_adapter(list(weights), inference_mode=True)
        for adapter, weight in weights.items():
            layer.set_scale(adapter, weight)


def detach(bundle: Bundle, adapter: str) -> None:
    """Remove an adapter, and let none act; the base weights are untouched, as they always were."""
    activate(bundle, {})
    for _, layer in adapted_layers(bundle):
        if adapter in layer.r:
            layer.delete_adapter(adapter)


def adapted_layers(bundle: Bundle) -> Iterator[tuple[str, PeftLayer]]:
    """Yield kohya's name and peft's module of every layer that carries an adapter."""
    for prefix, model in _models(bundle):
        for path, module in model.named_modules():
            if isinstance(module, PeftLayer):
                yield kohya_name(prefix, path), module


def read_adapter(bundle: Bundle, adapter: str) -> dict[str, LoraLayer]:
    """Return the layers of an adapter, as `write_lora` takes them: copies, on the CPU, in their own type."""
    return {
        name: LoraLayer(
            _copy(layer.lora_A[adapter]),
            _copy(layer.lora_B[adapter]),
            layer.lora_alpha[adapter],
        )
        for name, layer in adapted_layers(bundle)
        if adapter in layer.r
    }


def _models(bundle: Bundle) -> tuple[tuple[str, nn.Module], ...]:
    return ((UNET_PREFIX, bundle.unet), (TEXT_PREFIX, bundle.text_encoders[0]))


def _base_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the path and the base module of every layer, as if nothing had been attached."""
    for path, module in model.named_modules():
        if isinstance(module, PeftLayer):
            yield path, module.get_base_layer()
        elif not re.search(r"\.(base_layer|lora_[A-Za-z_]+)(\.|$)", path):
            yield path, module


def _current_name(name: str) -> str:
    """Return kohya's present name: newer scripts write `lora_te1_` for the only text encoder."""
    return re.sub(r"^lora_te1_", "lora_te_", name)


def _check_shape(
    bundle: Bundle, lora: LoraFile, name: str, layer: LoraLayer, place: tuple[nn.Module, str]
) -> None:
    """Raise ModelFileError when an update is not of the shape of its layer."""
    module = place[0].get_submodule(place[1])
    weight = cast(Tensor, (module.get_base_layer() if isinstance(module, PeftLayer) else module).weight)
    made_for = (layer.up.shape[0], *layer.down.shape[1:])
    if made_for != tuple(weight.shape):
        raise ModelFileError(
            f"layer {name} of the LoRA is for a weight {made_for}, {bundle.name!r} has "
            f"{tuple(weight.shape)}; it was made for {lora.base}",
            "choose a LoRA made for this base, or the base that it was made for",
        )


def _inject(model: nn.Module, layers: Mapping[str, LoraLayer], adapter: str) -> None:
    """Attach the layers, by path, to one model, in the type of the model's weights."""
    if not layers:
        return
    ranks, alphas = (
        {path: getattr(layer, key) for path, layer in layers.items()} for key in ("rank", "alpha")
    )
    config = LoraConfig(
        r=_most_common(ranks),
        lora_alpha=_most_common(alphas),
        target_modules=list(layers),
        rank_pattern=_exceptions(ranks),
        alpha_pattern=_exceptions(alphas),
        init_lora_weights=False,
    )
    inject_adapter_in_model(config, model, adapter, low_cpu_mem_usage=True)
    like = next(model.parameters())
    state = {}
    for path, layer in layers.items():
        state[f"{path}.lora_A.weight"] = layer.down.to(like)
        state[f"{path}.lora_B.weight"] = layer.up.to(like)
    set_peft_model_state_dict(model, state, adapter, low_cpu_mem_usage=True)
    vars(model).pop("peft_config")  # each adapter is complete by itself; peft warns of what it finds there


def _most_common(values: Mapping[str, Any]) -> Any:
    return Counter(values.values()).most_common(1)[0][0]


def _exceptions(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return peft's pattern -> value for those paths whose value is not the most common one."""
    usual = _most_common(values)
    return {f"^{re.escape(path)}": value for path, value in values.items() if value != usual}


def _copy(module: nn.Module) -> Tensor:
    return cast(Tensor, module.weight).detach().to("cpu", copy=True)
