"""A patient's fit to follow-up scans, its folder, and forecasts from it."""
