"""DICOM: images, structures, dose and plans in; segmentations and structure sets out."""
