//! The `mailwright` program.

fn main() {}
