"""From a folder as a hospital gives it to a patient folder that a person finishes."""
