//! How do entries live in a fleet of Memcached servers?
