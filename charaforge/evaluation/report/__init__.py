"""``report.html`` and ``report.json``: one file to look at, one to compute with."""

from charaforge.evaluation.report.page import write_report

__all__ = ["write_report"]
