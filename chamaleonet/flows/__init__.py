"""Headers become columns, columns a flow table, the table verdict events."""
