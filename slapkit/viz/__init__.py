"""Seeing and hearing what a model learned: theme, figures, maps and widgets."""
