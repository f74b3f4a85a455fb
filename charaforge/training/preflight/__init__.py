"""What a run will do, told and checked before the first step is spent."""

from charaforge.training.preflight.captions import check_captions
from charaforge.training.preflight.output import check_output, check_space
from charaforge.training.preflight.quarantine import write_quarantine
from charaforge.training.preflight.report import report

__all__ = ["check_captions", "check_output", "check_space", "report", "write_quarantine"]
