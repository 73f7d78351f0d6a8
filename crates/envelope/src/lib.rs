//! How does an entry look outside the process? Envelope version 1, bytes to fields and back.
#![forbid(unsafe_code)]
