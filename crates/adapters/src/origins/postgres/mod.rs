//! How is PostgreSQL asked? Statements prepared at start, JSON built by the server, read-only transactions.
