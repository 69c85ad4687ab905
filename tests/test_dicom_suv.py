"""Standardised uptake values by body weight, from closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_makers import add_tracer, make_enhanced, make_series
from pydicom.dataset import Dataset

from twin.dicom.series import read_series
from twin.errors import InvalidInput

# 350 MBq in 70 kg: 5000 Bq/mL are an SUV of 1 when nothing has decayed
STORED = np.full((3, 2, 2), 5000)
HALF_LIFE = 6588.0


def uptake(folder, *, series="112000", **more):
    def change(ds, k):
        tracer = ds.RadiopharmaceuticalInformationSequence[0]
        ds.SeriesTime = series
        for key, value in more.items():
            value = value(k) if callable(value) else value
            owner = tracer if key.startswith("Radio") else ds
            if value is None:
                delattr(owner, key)
            else:
                setattr(owner, key, value)

    slope = more.pop("slope", 1.0)
    paths = make_series(
        folder, modality="PT", shape=STORED.shape, values=STORED, slope=slope, change=change
    )
    result = read_series(paths, what="PET series")
    assert (result.modality, result.quantity) == ("PT", "suv")
    return result.image.data[0, 0]


def grown(seconds):
    """SUV of 5000 Bq/mL when the dose has decayed for so long."""
    return 2.0 ** (seconds / HALF_LIFE)


def test_corrected_to_the_start_of_the_series(tmp_path):
    assert uptake(tmp_path) == pytest.approx([grown(3600.0)] * 3, rel=1e-6)


def test_each_slice_has_its_own_slope(tmp_path):
    found = uptake(tmp_path, slope=[1.0, 0.5, 2.25])
    assert found == pytest.approx(grown(3600.0) * np.array([1.0, 0.5, 2.25]), rel=1e-6)


def test_corrected_to_the_injection_nothing_decays(tmp_path):
    found = uptake(tmp_path, DecayCorrection="ADMIN", RadiopharmaceuticalStartTime=None)
    assert found == pytest.approx([1.0] * 3)


def test_not_corrected_each_slice_decays_to_its_own_time(tmp_path):
    times = ["112000", "113000", "114000"]
    found = uptake(tmp_path, DecayCorrection="NONE", AcquisitionTime=lambda k: times[k])
    assert found == pytest.approx([grown(3600.0), grown(4200.0), grown(4800.0)], rel=1e-6)


def test_a_series_made_anew_starts_at_its_earliest_acquisition(tmp_path):
    times = ["113000", "112500", "112000"]
    found = uptake(tmp_path, series="170000", AcquisitionTime=lambda k: times[k])
    assert found == pytest.approx([grown(3600.0)] * 3, rel=1e-6)


def test_general_electrics_own_start_goes_before_the_earliest_acquisition(tmp_path):
    def change(ds, k):
        ds.SeriesTime = "170000"
        ds.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(
            0x0D, "DT", "20240305111900.00"
        )

    paths = make_series(tmp_path, modality="PT", shape=(3, 2, 2), values=STORED, change=change)
    found = read_series(paths).image.data
    assert found.ravel() == pytest.approx([grown(3540.0)] * 12, rel=1e-6)


def test_an_injection_before_midnight_and_a_scan_after(tmp_path):
    found = uptake(
        tmp_path,
        series="001000",
        AcquisitionTime="001000",
        RadiopharmaceuticalStartTime="235000.00",
    )
    assert found == pytest.approx([grown(1200.0)] * 3, rel=1e-6)


def test_dates_count_where_they_are_stated(tmp_path):
    found = uptake(
        tmp_path,
        RadiopharmaceuticalStartDateTime="20240302112000",
        RadionuclideHalfLife=str(78.4 * 3600),
    )
    assert found == pytest.approx([2.0 ** (72.0 / 78.4)] * 3, rel=1e-6)


def test_grams_per_millilitre_are_an_uptake_already(tmp_path):
    assert uptake(tmp_path, Units="GML", slope=0.001) == pytest.approx([5.0] * 3)
    assert uptake(tmp_path, Units="GML", SUVType="BW", slope=0.001)[0] == pytest.approx(5.0)


def test_philips_counts_have_a_factor_of_their_own(tmp_path):
    def change(ds, _):
        ds.Units = "CNTS"
        ds.private_block(0x7053, "Philips PET Private Group", create=True).add_new(
            0x00, "DS", "0.0004"
        )

    paths = make_series(tmp_path, modality="PT", shape=(3, 2, 2), values=STORED, change=change)
    assert read_series(paths).image.data.ravel() == pytest.approx([2.0] * 12)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"PatientWeight": None}, "no body weight.*export it with PatientWeight"),
        ({"PatientWeight": "0.07"}, "a body weight of 0.07 kg"),
        ({"Units": "PROPCPS"}, r"unit that is known \(PROPCPS\)"),
        ({"Units": None}, "none is stated"),
        ({"Units": "JANE DOE"}, "none of the standard's"),
        ({"Units": "CNTS"}, "without a factor"),
        ({"Units": "GML", "SUVType": "LBM"}, "SUV by LBM, not by body weight"),
        ({"RadionuclideTotalDose": None}, "no injected dose"),
        ({"RadionuclideTotalDose": "350"}, "probably in MBq"),
        ({"RadionuclideHalfLife": None}, "no half-life"),
        ({"RadiopharmaceuticalStartTime": None}, "no time of injection"),
        ({"RadiopharmaceuticalStartTime": "213000"}, "13.8 h before the scan"),
        ({"RadiopharmaceuticalStartDateTime": "20240306102000"}, "23 h after the scan"),
        ({"RadionuclideHalfLife": "282240"}, "time but not its date"),
        ({"DecayCorrection": None}, "DecayCorrection is missing"),
        ({"CorrectedImage": ["DECY", "SCAT"]}, "not corrected for attenuation"),
    ],
)
def test_what_an_uptake_needs_and_lacks(tmp_path, more, told):
    with pytest.raises(InvalidInput, match=told) as refusal:
        uptake(tmp_path, **more)
    assert str(refusal.value).startswith("PET series ")
    assert "JANE" not in str(refusal.value)


def mapped(ds, unit, slope):
    item, code = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = unit, "UCUM", unit
    item.RealWorldValueSlope, item.RealWorldValueIntercept = slope, 0.0
    item.MeasurementUnitsCodeSequence = [code]
    ds.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence = [item]


@pytest.mark.parametrize(("corrected", "wait"), [("YES", 1800.0), ("NO", 3600.0)])
def test_enhanced_frames_of_activity(tmp_path, corrected, wait):
    def change(ds):
        add_tracer(ds)
        del ds.Units, ds.DecayCorrection
        ds.DecayCorrected, ds.AttenuationCorrected = corrected, "YES"
        ds.DecayCorrectionDateTime = "20240305105000"
        ds.AcquisitionDateTime = "20240305112000"
        tracer = ds.RadiopharmaceuticalInformationSequence[0]
        del tracer.RadiopharmaceuticalStartTime
        tracer.RadiopharmaceuticalStartDateTime = "20240305102000"
        mapped(ds, "Bq/ml", 2.0)

    path = make_enhanced(
        tmp_path / "e.dcm", modality="PT", shape=STORED.shape, values=STORED, change=change
    )
    found = read_series([path])
    assert found.quantity == "suv"
    assert found.image.data.ravel() == pytest.approx([2.0 * grown(wait)] * 12, rel=1e-6)


def test_enhanced_frames_mapped_to_an_uptake(tmp_path):
    path = make_enhanced(
        tmp_path / "e.dcm",
        modality="PT",
        shape=STORED.shape,
        values=STORED,
        change=lambda ds: mapped(ds, "{SUVbw}g/ml", 0.0002),
    )
    assert read_series([path]).image.data.ravel() == pytest.approx([1.0] * 12)
