"""Trials by name: fitted to one on a virtual cohort, frozen, and held against the others."""
