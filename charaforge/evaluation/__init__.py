"""Likeness proven by numbers: threshold from impostors, arms under equal terms, intervals, report."""
