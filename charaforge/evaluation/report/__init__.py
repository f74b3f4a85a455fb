"""``report.html`` to look at, ``report.md`` to paste, ``report.json`` to compute with."""

from charaforge.evaluation.report.page import write_refusal, write_report

__all__ = ["write_refusal", "write_report"]
