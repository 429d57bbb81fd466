"""Tables, roles, migrations, COPY."""
