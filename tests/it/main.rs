//! Integration tests, one binary.

mod accounts;
mod settings;
