//! farmhand
fn main() {}
