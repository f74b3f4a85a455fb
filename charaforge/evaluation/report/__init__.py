"""``report.html`` to look at, ``report.md`` to paste, ``report.json`` to compute with."""

from charaforge.evaluation.report.page import show_sheet, write_refusal, write_report

__all__ = ["show_sheet", "write_refusal", "write_report"]
