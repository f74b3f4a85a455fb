"""The base of all typed configuration and request models, and how their faults are told."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from charaforge.errors import ConfigError, suggestion

Model = TypeVar("Model", bound=BaseModel)

_VALUE_LIMIT = 80


class StrictModel(BaseModel):
    """A frozen model that takes no unknown key; fields carry description, unit and bounds."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, protected_namespaces=()
    )


def parse(model: type[Model], data: Mapping[str, Any], source: str) -> Model:
    """Build `model` from plain data.

    Args:
        model: the model class.
        data: keys and values, e.g. of a YAML or JSON document.
        source: where the data came from, for the message.

    Raises:
        ConfigError: with every fault at once; an unknown key names the nearest valid one.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = [*fault_lines(error, model), *_hidden_faults(error, model, data)]
        raise ConfigError(source, lines) from None


def fault_lines(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return one line per fault: the key, what is wrong, and the value or the nearest key."""
    lines = []
    for fault in error.errors(include_url=False):
        where = [part for part in fault["loc"] if part not in ("body",)]
        key = ".".join(str(part) for part in where)
        if fault["type"] == "extra_forbidden":
            hint = suggestion(str(where[-1]), _sibling_keys(model, where[:-1]))
            lines.append(f"unknown key {key!r}; {hint}" if hint else f"unknown key {key!r}")
        elif fault["type"] == "missing":
            lines.append(f"{key}: missing")
        else:
            told = fault["msg"].removeprefix("Value error, ")
            lines.append(f"{key}: {told}, got {_shown(fault['input'])}" if key else told)
    return lines


def _hidden_faults(error: ValidationError, model: type[Model], data: Mapping[str, Any]) -> list[str]:
    """Return the faults between keys, which are not looked for while a single key is at fault."""
    at_fault = {str(fault["loc"][0]) for fault in error.errors(include_url=False) if fault["loc"]}
    if not at_fault or any(not fault["loc"] for fault in error.errors(include_url=False)):
        return []
    missing = [key for key in at_fault & model.model_fields.keys() if model.model_fields[key].is_required()]
    without: dict[str, Any] = dict.fromkeys(missing, (Any, Field(None, validate_default=False)))
    relaxed = create_model(model.__name__, __base__=model, **without)
    try:
        relaxed.model_validate({key: value for key, value in data.items() if key not in at_fault})
    except ValidationError as more:
        faults = more.errors(include_url=False)
        return [] if any(fault["loc"] for fault in faults) else fault_lines(more, model)
    return []


def _sibling_keys(model: type[BaseModel], where: list[int | str]) -> list[str]:
    """Return the valid keys of the (sub)model that stands at `where`, following lists and unions."""
    here: type[BaseModel] | None = model
    for part in where:
        if here is None or not isinstance(part, str):
            continue
        field = here.model_fields.get(part)
        here = _model_inside(field.annotation) if field is not None else here
    if here is None:
        return []
    return [field.alias or name for name, field in here.model_fields.items()]


def _model_inside(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType, list, tuple, dict):
        found = (_model_inside(inner) for inner in get_args(annotation))
        return next((inner for inner in found if inner is not None), None)
    return None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _VALUE_LIMIT else f"{text[:_VALUE_LIMIT]}…"
