"""One file, one method; a folder is a family. `detector.py` holds the contract."""
