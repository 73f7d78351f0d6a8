//! How do entries live in Redis or Valkey? One string per key: header, lease and payload.
