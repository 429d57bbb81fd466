"""The SDK that a record type is written with."""
