"""Packaged data (installed as ``twin.data``; reach it through :mod:`twin.examples`)."""
