"""Figures, as a paper prints them, and pages of tables and figures."""
