"""Words of which structures' names are made, so that a name that holds another is found."""

from __future__ import annotations

import re

__all__ = ["only_known_words"]

_WORDS = """
accumbens acetabulum adc adipose adrenal air airway all amygdala anal and anterior anus aorta area
areola artefact artery artifact atrium auto autochthon automatic avoid avoidance background bed
bile bladder block board body bolus bone bones boost border borders boundary bowel bowels brachial
brachiocephalic brain brainstem breast breasts bronchi bronchus bulb calc calculation callosum
canal carina carotid caudate cava cavity central cerebellar cerebellum cerebral cerebrum cervical
cervix cgy chest chiasm chiasma choroid clavicle clavicula clip clips cm coccyx cochlea colon
consensus constrictor constrictors contour contrast control copy cord core coronary corpus cortex
cortical couch cranium csf ct ctv cyst daily diaphragm distal dose duct dummy duodenum dura dwi
ear edema edit enhanced enhancement enhancing esophagus eval exp expert external eye eyes falx fat
fdg femoral femur fet fibroglandular fiducial final flair fluid foreground fraction frontal
gallbladder gland glandular globe glottis gluteus gray grey gtv gy head heads heart helper
hemisphere high hip hippocampus humerus hypopharynx hypothalamus igtv iliac iliopsoas ilium
immobilisation implant in inferior infiltration inner insula integrated intermediate intestine iso
isocenter isocentre isodose itv kidney kidneys label lacrimal large larynx laser lateral left lens
lenses lesion lip lips liver lobe low lower lumbar lung lungs lymph mammary mandible manual margin
marker markers marrow mask mass matter maxilla maximus medial mediastinum medius medulla meninges
met metal metastases metastasis mets mid midbrain middle minimus minus mm mri mrt muscle muscles
myocardium nasopharynx neck necrosis necrotic nerve nerves new nodal node nodes not oar oblongata
occipital oedema oesophagus of old opt optic optimisation optimization or oral origin oropharynx
other outer outline ovaries ovary palate pallidum pancreas parietal parotid parotids patient pct
pelvic pelvis penile percent pericardium peripheral pet pharynx phase pituitary plan planning
plexus plus point points pons portal posterior prescription primary prostate proximal prv ptv
pubis pulmonary putamen radiotherapy rectum recurrence reference region renal resection residual
retina rib ribs right rind ring risk roi sacral sacrum sbrt scalp scapula scar segment seminal
seroma setup shell sib sigmoid simultaneous skin skull small soft spare sparing spinal spine
spleen splenic srs stem sternum stomach structure sub subclavian subcutaneous submandibular
superior supraglottis surgical suv table target teeth temporal tentorium test testes testis
thalamus the thoracic thorax thyroid tissue tissues to tongue tonsil torso total trachea tract
treatment trunk tumor tumors tumour union upper urethra urinary uterus vagina vein vena ventricle
ventricles ventricular ventriculus vertebra vertebrae vesicle vesicles visceral vol volume wall
water white whole wire with without
""".split()  # noqa: SIM905
_SHORT = {
    "l",
    "r",
    "a",
    "p",
    "s",
    "i",
    "lt",
    "rt",
    "le",
    "ri",
    "sup",
    "inf",
    "ant",
    "post",
    "c",
    "t",
}
_KNOWN = frozenset(_WORDS) | _SHORT
_LONG = "|".join(sorted((word for word in _WORDS if len(word) >= 3), key=len, reverse=True))
_JOINED = re.compile(rf"(?:{_LONG}){{1,3}}s?[lr]?")
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^A-Za-z0-9]")
_SIGNS = " _-+.,/:&%()[]<>*#=~'"


def only_known_words(name: str) -> bool:
    """Return whether a name consists of anatomical and planning words and short numbers alone.

    Such a name says nothing of who the patient is. A word that is not known
    (a surname, a site) or a number of more than four digits makes it False.

    Examples
    --------
    >>> only_known_words("PTV_6000 left-lung"), only_known_words("GTV Smith")
    (True, False)
    >>> only_known_words("SpinalCord"), only_known_words("MRN 1234567")
    (True, False)
    """
    if not name.isascii() or len(name) > 64 or not name.strip():
        return False
    for part in _PARTS.findall(name):
        if part.isdigit():
            if len(part) > 4:
                return False
        elif part.isalpha():
            word = part.lower()
            if word not in _KNOWN and not _JOINED.fullmatch(word):
                return False
        elif part not in _SIGNS:
            return False
    digits = sum(letter.isdigit() for letter in name)
    return digits <= 8
