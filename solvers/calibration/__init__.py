"""Fitting a twin to its patient's scans: what scans say, estimates, posterior draws."""
