"""``python -m amiss.cli``: the same as ``amiss``."""

from amiss.cli.main import main

if __name__ == "__main__":
    main()
