//! An Arduino sketch: `.ino` files become one C++ file.

mod includes;
mod join;
mod outline;
mod prototype;
mod token;

pub(crate) use includes::{Include, includes};
pub(crate) use join::{InoFile, join};
