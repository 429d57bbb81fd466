"""The embedded broker, database and object store, and a whole system of them."""
