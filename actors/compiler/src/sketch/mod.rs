//! An Arduino sketch: `.ino` files become one C++ file.

mod conditions;
mod dead;
mod directives;
mod includes;
mod join;
mod outline;
mod prototype;
mod token;

pub(crate) use conditions::{Macros, includes_where, is_read_once};
pub(crate) use directives::{Directive, directives};
pub(crate) use includes::{Include, includes};
pub(crate) use join::{InoFile, join};
