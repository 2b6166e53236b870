//! Clocks, read in shells only: a state machine is told the time.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// The wall clock, in microseconds since 1970. It may jump.
#[must_use]
pub fn unix_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0))
}

/// The wall clock, in milliseconds since 1970. It may jump.
#[must_use]
pub fn unix_ms() -> u64 {
    unix_us() / 1000
}

/// The monotonic clock that also runs while the machine sleeps (CLOCK_BOOTTIME), in microseconds: comparable
/// between processes of one boot.
#[must_use]
pub fn mono_us() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1000
}

/// The machine's boot, as the kernel names it; empty where it does not.
#[must_use]
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
