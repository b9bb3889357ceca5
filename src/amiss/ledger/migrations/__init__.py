"""Every schema that was ever released, one step each, run by Alembic when a store is opened for writing."""
