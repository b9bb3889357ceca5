"""Readers of data sets. They know layouts and names; no algorithm lives here."""

from amiss.data.dataset import GOOD, Dataset, Origin
from amiss.data.elpv import read_elpv
from amiss.data.folder import read_folder
from amiss.data.mvtec import read_mvtec
from amiss.data.open import open_dataset

__all__ = ["GOOD", "Dataset", "Origin", "open_dataset", "read_elpv", "read_folder", "read_mvtec"]
