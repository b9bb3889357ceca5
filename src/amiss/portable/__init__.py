"""A model for programs in other languages: its graph, what happens before it and after it, and two examples."""

from amiss.portable.folder import FILES, check_folder, write_portable

__all__ = ["FILES", "check_folder", "write_portable"]
