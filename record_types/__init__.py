"""The built-in kinds of record, plug-ins like anybody else's."""
