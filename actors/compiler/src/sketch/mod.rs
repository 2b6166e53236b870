//! An Arduino sketch: `.ino` files become one C++ file.

mod includes;
mod join;
mod outline;
mod prototype;
mod token;

pub use includes::{Include, includes};
pub use join::{InoFile, join};
