"""Readers of data sets. They know layouts and names; no algorithm lives here."""

from amiss.core.origin import Origin
from amiss.data.btad import read_btad
from amiss.data.dataset import GOOD, Dataset
from amiss.data.elpv import read_elpv
from amiss.data.folder import read_folder
from amiss.data.kolektor import read_kolektor
from amiss.data.manifest import read_manifest
from amiss.data.mvtec import read_mvtec
from amiss.data.mvtec_3d import read_mvtec_3d, read_positions
from amiss.data.mvtec_ad2 import read_mvtec_ad2
from amiss.data.mvtec_loco import read_mvtec_loco
from amiss.data.nanofibres import read_nanofibres
from amiss.data.open import open_dataset
from amiss.data.severstal import read_severstal
from amiss.data.truth import GroundTruthRegion
from amiss.data.visa import read_visa
from amiss.data.wafers import read_mixedwm38, read_wm811k

__all__ = [
    "GOOD",
    "Dataset",
    "GroundTruthRegion",
    "Origin",
    "open_dataset",
    "read_btad",
    "read_elpv",
    "read_folder",
    "read_kolektor",
    "read_manifest",
    "read_mixedwm38",
    "read_mvtec",
    "read_mvtec_3d",
    "read_mvtec_ad2",
    "read_mvtec_loco",
    "read_nanofibres",
    "read_positions",
    "read_severstal",
    "read_visa",
    "read_wm811k",
]
