"""Bringing images of one patient, or an atlas, onto one grid."""
