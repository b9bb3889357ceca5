"""``python -m amiss.cli``: the same as ``amiss``."""

from amiss.cli.main import main

main()
