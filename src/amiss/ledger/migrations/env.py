"""What Alembic runs: the steps on the connection that `amiss.ledger.database` hands over, in its transaction."""

from alembic import context

from amiss.ledger.tables import metadata

if getattr(context, "config", None) is not None:  # else somebody only imports this file
    context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
