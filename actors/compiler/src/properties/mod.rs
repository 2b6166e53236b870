//! Arduino's `boards.txt` and `platform.txt`: what a board is and how it is compiled for, as its core says it.
//!
//! Facts of the format are in Arduino's platform specification: `key=value` lines, a key's `.linux` variant wins on
//! Linux, `{key}` is expanded, a board's keys shadow the platform's, and a chosen menu option's shadow the board's.

mod board;
mod chip;
mod facts;
mod recipe;
mod table;

pub use board::{Board, Core, PropertiesError, UnknownBoard};
pub(crate) use board::{Fqbn, nearest};
pub use chip::{ChipError, ChipFacts, chip_facts};
pub use facts::{BoardFacts, UsbId, board_facts, board_facts_with};
pub use recipe::split_command;
pub use table::Table;
