//! How does the backplane travel over Redis or Valkey? A stream with dense ids, and the floors beside it.
