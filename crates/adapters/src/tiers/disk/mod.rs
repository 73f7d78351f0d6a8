//! How do entries survive a restart? On this machine's disk, in SQLite, on a thread of their own.
