"""Filters: which clips pass, told from columns in memory and not by a statement over all clips."""
