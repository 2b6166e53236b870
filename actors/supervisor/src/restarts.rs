//! When a failed actor is started again: pure. OTP's words; a restart has an intensity and a back-off, and more than
//! that is a meltdown.

use std::collections::VecDeque;
use std::time::Duration;

/// More restarts than this within [`WINDOW`] are a meltdown: what fails that often fails for a reason that a restart
/// does not mend.
const INTENSITY: usize = 5;
/// The window of [`INTENSITY`]: long enough that a slow failure (a device's deadline of seconds) counts too.
const WINDOW: Duration = Duration::from_secs(60);
/// Before the first restart: at once would spin, longer would be seen.
const BACKOFF: Duration = Duration::from_millis(10);
/// Before the last: each back-off is four times the one before.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// What is done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Start it again after this.
    After(Duration),
    /// It failed too often.
    Meltdown,
}

/// The restarts of one actor.
#[derive(Debug, Clone, Default)]
pub(crate) struct Restarts {
    recent: VecDeque<Duration>,
}

impl Restarts {
    /// It failed at `now`, of any monotonic clock.
    pub(crate) fn failed(&mut self, now: Duration) -> Decision {
        while self.recent.front().is_some_and(|&then| now.saturating_sub(then) > WINDOW) {
            self.recent.pop_front();
        }
        if self.recent.len() >= INTENSITY {
            return Decision::Meltdown;
        }
        let backoff = BACKOFF * 4_u32.pow(u32::try_from(self.recent.len()).unwrap_or(INTENSITY as u32));
        self.recent.push_back(now);
        Decision::After(backoff.min(BACKOFF_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn backs_off_and_melts() {
        let mut restarts = Restarts::default();
        let waits: Vec<_> = (0..6).map(|second| restarts.failed(at(second))).collect();
        let millis = |ms| Decision::After(Duration::from_millis(ms));
        assert_eq!(
            waits,
            [millis(10), millis(40), millis(160), millis(640), millis(2000), Decision::Meltdown]
        );
    }

    #[test]
    fn what_is_long_ago_does_not_count() {
        let mut restarts = Restarts::default();
        for hour in 0..100 {
            assert_eq!(restarts.failed(at(hour * 3600)), Decision::After(BACKOFF));
        }
    }
}
