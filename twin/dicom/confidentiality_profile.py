"""What becomes of each DICOM element in a clean copy: PS3.15's basic profile, and stricter.

The profile (DICOM PS3.15, annex E, table E.1-1, "Basic Application Level
Confidentiality") lists elements that must go. Its table is the one that the
package dicom-anonymizer keeps up to date (2026c). The profile leaves alone
what it does not list; here such an element stays only where its kind cannot
hold a name: numbers, coded strings, references and pixels.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache

__all__ = ["CLEANED_NAMES", "KEPT_CLASSES", "METHOD_CODES", "Action", "action", "most_values"]


class Action(Enum):
    """What is done with an element."""

    REMOVE = "removed"
    EMPTY = "emptied"
    DUMMY = "replaced by a value that says nothing"
    UID = "replaced by a UID that stands for it"
    DATE = "moved by the patient's shift"
    ITEMS = "kept, its items cleaned"
    NAME = "kept if made of anatomical and planning words, else replaced"
    TERM = "kept if one of the terms that the element may hold, else replaced"
    CODE = "kept if it cannot be text"
    NUMBER = "kept if a number"
    KEEP = "kept"


#: Kinds of objects that are copied. All else (reports, documents, presentation
#: states, raw data, waveforms) is text or of no use for a twin, and is left out.
KEPT_CLASSES: dict[str, str] = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "enhanced CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "legacy converted enhanced CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.4.1": "enhanced MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "legacy converted enhanced MR",
    "1.2.840.10008.5.1.4.1.1.20": "nuclear medicine",
    "1.2.840.10008.5.1.4.1.1.128": "PET",
    "1.2.840.10008.5.1.4.1.1.128.1": "legacy converted enhanced PET",
    "1.2.840.10008.5.1.4.1.1.130": "enhanced PET",
    "1.2.840.10008.5.1.4.1.1.30": "parametric map",
    "1.2.840.10008.5.1.4.1.1.66.1": "spatial registration",
    "1.2.840.10008.5.1.4.1.1.66.3": "deformable spatial registration",
    "1.2.840.10008.5.1.4.1.1.66.4": "segmentation",
    "1.2.840.10008.5.1.4.1.1.66.7": "label map segmentation",
    "1.2.840.10008.5.1.4.1.1.481.2": "RT dose",
    "1.2.840.10008.5.1.4.1.1.481.3": "RT structure set",
    "1.2.840.10008.5.1.4.1.1.481.5": "RT plan",
    "1.2.840.10008.5.1.4.1.1.481.8": "RT ion plan",
    # Pictures of other kinds: their pixels often hold names, see twin.dicom.visible_identity.
    "1.2.840.10008.5.1.4.1.1.7": "secondary capture",
    "1.2.840.10008.5.1.4.1.1.7.2": "secondary capture",
    "1.2.840.10008.5.1.4.1.1.7.3": "secondary capture",
    "1.2.840.10008.5.1.4.1.1.7.4": "secondary capture",
    "1.2.840.10008.5.1.4.1.1.6.1": "ultrasound",
    "1.2.840.10008.5.1.4.1.1.3.1": "ultrasound",
}

#: DICOM PS3.16, CID 7050: what was done, as codes of DCM.
METHOD_CODES: dict[str, str] = {
    "113100": "Basic Application Confidentiality Profile",
    "113105": "Clean Descriptors Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113108": "Retain Patient Characteristics Option",
}

#: Names of outlined structures: the twin needs them, so they are cleaned, not emptied.
CLEANED_NAMES = frozenset(
    {"ROIName", "SegmentLabel", "StructureSetLabel", "RTPlanLabel", "Radiopharmaceutical"}
)

#: The terms that some elements may hold here, divided by bars.
_TERMS = {
    "RescaleType": "OD|HU|US|MGML|Z_EFF|ED|EDW|HU_MOD|PCT|normalized",
    "Manufacturer": "SIEMENS|Siemens|Siemens Healthineers|GE MEDICAL SYSTEMS|Philips|Philips "
    "Medical Systems|Philips Healthcare|TOSHIBA|TOSHIBA_MEC|CANON_MEC|Hitachi Medical Corporation"
    "|CPS|UIH|Varian Medical Systems|ELEKTA|Elekta|Accuray|ACCURAY INC.|BrainLAB|Brainlab"
    "|RaySearch Laboratories|ViewRay, Inc.|TomoTherapy Incorporated|ADAC",
    "BodyPartExamined": "HEAD|BRAIN|SKULL|NECK|HEADNECK|HEAD AND NECK|CHEST|THORAX|LUNG|BREAST"
    "|ABDOMEN|LIVER|PELVIS|PROSTATE|EXTREMITY|LEG|THIGH|KNEE|ARM|SHOULDER|HIP|SPINE|CSPINE|TSPINE"
    "|LSPINE|WHOLEBODY|WHOLE BODY|HEART|KIDNEY|PANCREAS|BLADDER|CAP|PHANTOM",
    "ImageType": "ORIGINAL|DERIVED|PRIMARY|SECONDARY|AXIAL|LOCALIZER|MPR|MIP|VOLUME|REFORMATTED"
    "|AVERAGE|RESAMPLED|NONE|OTHER|M|P|R|I|ND|NORM|DIS2D|DIS3D|FM|FS|M_FFE|M_SE|M_IR|FFE|SE|IR"
    "|PHASE MAP|DIFFUSION|ADC|TRACEW|FA|TENSOR|PERFUSION|STATIC|DYNAMIC|GATED|WHOLE BODY"
    "|RECON TOMO|TOMO|EMISSION|TRANSMISSION|T1|T2|FLAIR|PROTON_DENSITY|SUBTRACTION|MAX_IP|MIN_IP",
}
TERMS: dict[str, frozenset[str]] = {
    keyword: frozenset(terms.split("|")) for keyword, terms in _TERMS.items()
}

#: Free text that may be a short number, as identifiers of stacks are.
SHORT_NUMBERS = frozenset({"StackID"})

#: Of the patient, only in PET, where the uptake is meaningless without it.
PET_CHARACTERISTICS = frozenset({"PatientWeight", "PatientSize"})

_BYTES = frozenset(
    {
        "PixelData",
        "FloatPixelData",
        "DoubleFloatPixelData",
        "LUTData",
        "RedPaletteColorLookupTableData",
        "GreenPaletteColorLookupTableData",
        "BluePaletteColorLookupTableData",
        "VectorGridData",
    }
)
_NUMBERS = frozenset({"DS", "IS"})
_BINARY_NUMBERS = frozenset({"FL", "FD", "SL", "SS", "SV", "UL", "US", "UV", "AT"})
_BULK = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN", "OB or OW", "US or OW"})
_DATES = frozenset({"DA", "DT"})
_ALIKE = (
    frozenset({"LO", "SH", "ST", "LT", "UC", "UT", "UR", "AE", "PN"}),
    _BINARY_NUMBERS - {"AT"},
    frozenset({"OB", "OW"}),
)
_REMOVED_ANYWAY = frozenset(
    {
        "OriginalAttributesSequence",  # what was there before others cleaned it
        "CodingSchemeIdentificationSequence",
        "ContextGroupVersion",
        "ContextGroupLocalVersion",
        "ContextGroupExtensionFlag",
        "ContextGroupExtensionCreatorUID",
        "DataSetTrailingPadding",
        "ICCProfile",
        "DigitalSignaturesSequence",
        "EncryptedAttributesSequence",
        "IconImageSequence",  # a small copy of the pixels
        "SpecificCharacterSet",  # what is left is ASCII
    }
)
_EMPTIED_DATES = frozenset({"PatientBirthDate", "PatientBirthTime"})


@lru_cache(maxsize=1)
def _table() -> dict[int, str]:
    """Each listed element's action code: X, Z, D, U, Z/D, X/Z, X/D, X/Z/D, X/Z/U*."""
    from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector

    groups = dicom_anonymization_database_selector("dicomfields_2026c")
    table: dict[int, str] = {}
    for name, tags in groups.items():
        if name != "ALL_TAGS":
            code = name.removesuffix("_TAGS").replace("U_STAR", "U*").replace("_", "/")
            table |= {(tag[0] << 16) | tag[1]: code for tag in tags if len(tag) == 2}
    return table


def action(tag: int, vr: str, keyword: str, *, pet: bool) -> Action:
    """Return what becomes of an element.

    Parameters
    ----------
    tag : int
    vr : str
        Its value representation.
    keyword : str
        Its keyword in the data dictionary, empty for one that is not there.
    pet : bool
        Whether the object is a PET image.

    Examples
    --------
    >>> action(0x00100010, "PN", "PatientName", pet=False).name
    'EMPTY'
    >>> action(0x00080020, "DA", "StudyDate", pet=False).name
    'DATE'
    >>> action(0x00091001, "LO", "", pet=False).name
    'REMOVE'
    """
    group = tag >> 16
    if group % 2 or tag & 0xFFFF == 0 or not keyword or keyword in _REMOVED_ANYWAY:
        return Action.REMOVE
    if group & 0xFF00 in (0x5000, 0x6000) or group <= 0x0006:  # curves, overlays, file matters
        return Action.REMOVE
    if not _of_its_kind(tag, vr):
        return Action.REMOVE
    if keyword in CLEANED_NAMES:
        return Action.NAME
    if pet and keyword in PET_CHARACTERISTICS:
        return Action.NUMBER
    if keyword in _EMPTIED_DATES:
        return Action.EMPTY
    if vr in _DATES:
        return Action.DATE
    if vr == "TM":
        return Action.KEEP
    listed = _table().get(tag)
    if listed is not None:
        return _listed(listed, vr, keyword)
    return _unlisted(vr, keyword)


def most_values(tag: int) -> int | None:
    """Return how many values an element can have by the dictionary, None for any number.

    Examples
    --------
    >>> most_values(0x00280010), most_values(0x00280030), most_values(0x00186060)
    (1, 2, None)
    """
    from pydicom.datadict import dictionary_VM

    last = dictionary_VM(tag).split("-")[-1]
    return int(last) if last.isdigit() else None


def _of_its_kind(tag: int, vr: str) -> bool:
    """Whether an element's representation is the dictionary's, or one much like it.

    Text that a damaged file declares to be numbers would stay as such.
    """
    from pydicom.datadict import dictionary_VR

    stated = frozenset(dictionary_VR(tag).split(" or "))
    return vr in stated or any(vr in alike and stated & alike for alike in _ALIKE)


def _listed(code: str, vr: str, keyword: str) -> Action:
    if vr == "UI" and code != "X":
        return Action.UID
    if code == "X":
        return Action.REMOVE
    if vr == "SQ":
        if code in ("X/D", "X/Z/D"):  # operators, institutions, steps of the work list
            return Action.REMOVE
        referring = keyword.startswith(("Referenced", "Source"))
        return Action.EMPTY if code == "X/Z" and not referring else Action.ITEMS
    return Action.EMPTY if code in ("Z", "X/Z", "X/Z/U*") else Action.DUMMY


def _unlisted(vr: str, keyword: str) -> Action:
    if keyword in TERMS:
        return Action.TERM
    if vr == "SQ":
        return Action.ITEMS
    if vr == "UI":
        return Action.UID
    if vr in _NUMBERS or keyword in SHORT_NUMBERS:
        return Action.NUMBER
    if vr in _BINARY_NUMBERS or keyword in _BYTES:
        return Action.KEEP
    if vr in _BULK:
        return Action.REMOVE
    if vr == "CS":
        return Action.CODE
    return Action.EMPTY if vr in ("PN", "AS") else Action.DUMMY
