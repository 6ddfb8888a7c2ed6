//! Integration tests, one binary.

mod accounts;
