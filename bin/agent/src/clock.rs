//! The guest's clock.

use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

use crate::complain;

const US: u64 = 1_000_000;

/// Sets it to this time, in microseconds since 1970, where it is behind that. Never back.
pub(crate) fn set_forward(now_us: u64) {
    let (seconds, us) = (i64::try_from(now_us / US).unwrap_or_default(), now_us % US);
    let Ok(nanoseconds) = i64::try_from(us * 1000).map(|ns| ns as _) else { return };
    let now = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let before = clock_gettime(ClockId::Realtime);
    if (before.tv_sec, before.tv_nsec) >= (now.tv_sec, now.tv_nsec) {
        return;
    }
    if let Err(error) = clock_settime(ClockId::Realtime, now) {
        complain(&format!("cannot set the clock: {error}"));
    }
}
