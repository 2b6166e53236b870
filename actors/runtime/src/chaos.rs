//! Where tests kill an actor: any handler, at any message.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Whose handlers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum ChaosRole {
    /// Sessions.
    Session,
    /// Devices.
    Device,
    /// Serial ports.
    Serial,
    /// The installer.
    Installer,
    /// The compiler pool.
    Compiler,
    /// The scheduler.
    Scheduler,
    /// The device directory.
    Directory,
    /// The event log.
    Events,
}

const ROLES: usize = 8;

/// One hook that each shell calls first with each message: tells it to panic at the n-th. Off unless a test arms it.
#[derive(Debug, Clone, Default)]
pub struct Chaos(Option<Arc<[AtomicI64; ROLES]>>);

impl Chaos {
    /// A hook that can be armed.
    #[must_use]
    pub fn armable() -> Self {
        Self(Some(Arc::default()))
    }

    /// The `nth` message from now (from 1) that an actor of `role` handles makes it panic, once.
    pub fn arm(&self, role: ChaosRole, nth: u32) {
        if let Some(counts) = &self.0 {
            counts[role as usize].store(i64::from(nth), Ordering::SeqCst);
        }
    }

    /// Whether what was armed has not struck yet.
    #[must_use]
    pub fn is_armed(&self, role: ChaosRole) -> bool {
        self.0.as_ref().is_some_and(|counts| counts[role as usize].load(Ordering::SeqCst) > 0)
    }

    /// Called by a shell first with each message.
    ///
    /// # Panics
    /// Where a test armed it: that is its purpose.
    pub fn strike(&self, role: ChaosRole) {
        let Some(counts) = &self.0 else { return };
        if counts[role as usize].fetch_sub(1, Ordering::SeqCst) == 1 {
            panic!("chaos struck {role:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strikes_once_at_the_nth() {
        let chaos = Chaos::armable();
        chaos.strike(ChaosRole::Session);
        chaos.arm(ChaosRole::Session, 2);
        chaos.strike(ChaosRole::Session);
        chaos.strike(ChaosRole::Device);
        assert!(chaos.is_armed(ChaosRole::Session));
        assert!(std::panic::catch_unwind(|| chaos.strike(ChaosRole::Session)).is_err());
        chaos.strike(ChaosRole::Session);
    }
}
