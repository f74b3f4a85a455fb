"""Typed configuration: frozen models, YAML files, settings from the environment."""

from charaforge.config.model import StrictModel, fault_lines, parse
from charaforge.config.yaml_file import dump_yaml, load_yaml

__all__ = ["StrictModel", "dump_yaml", "fault_lines", "load_yaml", "parse"]
