"""The record of a station: events that nothing can change unseen, tables made from them, and the images they show.

It needs SQLAlchemy and Alembic, the extra "station", and knows nothing of detectors, stations and HTTP.
"""
