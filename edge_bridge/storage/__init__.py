"""The prediction log: SQLite or PostgreSQL."""
