//! The parts of the torture: a steady stream of wishes, and a ledger of what must be true after it.

mod feed;
mod ledger;

pub(crate) use feed::Feed;
pub(crate) use ledger::Ledger;

/// The boards. The last is for handoffs that must never be repeated.
pub(crate) const BOARDS: [&str; 4] = ["uno-1", "uno-2", "uno-3", "uno-4"];
/// Whose handoffs must never be repeated.
pub(crate) const ONCE: &str = BOARDS[3];
