"""YAML files to typed models and back.

Three things differ from plain PyYAML: `1e-4` is a number (YAML 1.2's rule), a key given twice is a fault,
and `${NAME}` in a text value is replaced by the environment variable of that name.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel

from charaforge.config.model import parse
from charaforge.errors import ConfigError, UsageError

Model = TypeVar("Model", bound=BaseModel)

_FLOAT = re.compile(r"^[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)$")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} twice (line {line})")
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def load_yaml(path: str | Path, model: type[Model]) -> Model:
    """Read a YAML file into a typed model.

    Args:
        path: the file.
        model: the model class, usually a `StrictModel`.

    Raises:
        UsageError: the file cannot be read.
        ConfigError: it is no YAML mapping, names an unset variable, or has faulty keys; all faults at once.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "give the path of a YAML file") from error
    try:
        data = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError(str(path), [f"not valid YAML: {error}"]) from error
    if not isinstance(data, dict):
        raise ConfigError(str(path), [f"expected keys and values, got {type(data).__name__}"])
    faults: list[str] = []
    expanded = _expand(data, faults)
    if faults:
        raise ConfigError(str(path), faults)
    return parse(model, expanded, str(path))


def dump_yaml(model: BaseModel) -> str:
    """Return the model as YAML text that `load_yaml` reads back to an equal model."""
    return yaml.safe_dump(model.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _expand(value: Any, faults: list[str]) -> Any:
    if isinstance(value, dict):
        return {key: _expand(inner, faults) for key, inner in value.items()}
    if isinstance(value, list):
        return [_expand(inner, faults) for inner in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if found is None:
            faults.append(f"{value!r}: the environment variable {match[1]} is not set")
        return found or ""

    return _VARIABLE.sub(replace, value)
