"""Solvers: the finite-element reference, its batch, and the surrogate trained on it."""
