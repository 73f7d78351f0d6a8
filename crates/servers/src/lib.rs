//! How is a real server run for a test or a drill? On a free loopback port, in an empty directory, every wait bounded,
//! ended by its own process id.
#![forbid(unsafe_code)]
