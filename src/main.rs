//! tallybox's one binary; its first argument is the role.

fn main() {}
