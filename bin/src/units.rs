//! Sizes and times, as people read them.

use std::time::{SystemTime, UNIX_EPOCH};

/// `2900 B`, `24.1 MB`: of a thousand, as packages and disks are sold.
pub(crate) fn bytes(count: u64) -> String {
    // Three digits say enough, and no rounding shows in a test.
    #[allow(clippy::cast_precision_loss, reason = "shown with one digit")]
    let of = |unit: f64| count as f64 / unit;
    match count {
        0..10_000 => format!("{count} B"),
        10_000..1_000_000 => format!("{:.1} kB", of(1e3)),
        1_000_000..1_000_000_000 => format!("{:.1} MB", of(1e6)),
        _ => format!("{:.1} GB", of(1e9)),
    }
}

/// `12 ms`, `6.2 s`, `3 min 20 s`.
pub(crate) fn took(ms: u64) -> String {
    match ms {
        0..100 => format!("{ms} ms"),
        100..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms / 1000 % 60),
    }
}

/// `now`, `42 s`, `2 min`, `3 h`, `5 d`.
pub(crate) fn age(then_unix_ms: u64, now_unix_ms: u64) -> String {
    let seconds = now_unix_ms.saturating_sub(then_unix_ms) / 1000;
    match seconds {
        0..2 => "now".into(),
        2..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `0:42`, `1:02:03`.
pub(crate) fn clock(since_unix_ms: u64, now_unix_ms: u64) -> String {
    let seconds = now_unix_ms.saturating_sub(since_unix_ms) / 1000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match hours {
        0 => format!("{minutes}:{:02}", seconds % 60),
        _ => format!("{hours}:{minutes:02}:{:02}", seconds % 60),
    }
}

/// Of the wall clock, in milliseconds since 1970.
pub(crate) fn now_unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_read_them() {
        assert_eq!([2900, 24_100_000, 31_500].map(bytes), ["2900 B", "24.1 MB", "31.5 kB"]);
        assert_eq!([12, 940, 6200, 200_000].map(took), ["12 ms", "0.9 s", "6.2 s", "3 min 20 s"]);
        assert_eq!([0, 42_000, 120_000, 9_000_000].map(|ago| age(0, ago)), ["now", "42 s", "2 min", "2 h"]);
        assert_eq!(age(5000, 0), "now", "a clock that jumped");
        assert_eq!([42_000, 3_723_000].map(|now| clock(0, now)), ["0:42", "1:02:03"]);
    }
}
