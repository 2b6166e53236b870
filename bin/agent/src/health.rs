//! How the guest is, as Linux tells it.

use std::fs::read_to_string;
use std::io;

use farmhand_agent_messages::Health;

/// What cannot be read is 0.
pub(crate) fn measure() -> Health {
    let read = |path| read_to_string(path).unwrap_or_default();
    Health {
        uptime_ms: hundredths(&read("/proc/uptime")).saturating_mul(10),
        load_1_hundredths: u32::try_from(hundredths(&read("/proc/loadavg"))).unwrap_or(u32::MAX),
        memory_available_bytes: memory_available(&read("/proc/meminfo")),
        ..Health::default()
    }
}

/// The first word: a number with two decimals (proc(5)).
fn hundredths(text: &str) -> u64 {
    let word = text.split_whitespace().next().unwrap_or_default();
    let (whole, decimals) = word.split_once('.').unwrap_or((word, "00"));
    let number = |digits: &str| digits.parse::<u64>().unwrap_or_default();
    number(whole).saturating_mul(100).saturating_add(number(decimals.get(..2).unwrap_or("0")))
}

fn memory_available(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default().saturating_mul(1024)
}

/// Drawn by Linux, anew for each reader.
pub(crate) fn random_id() -> io::Result<[u8; 16]> {
    let text = read_to_string("/proc/sys/kernel/random/uuid")?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let number = u128::from_str_radix(&digits, 16).map_err(io::Error::other)?;
    Ok(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_linux_says_it() {
        assert_eq!(hundredths("350735.47 234388.90\n"), 35_073_547);
        assert_eq!(hundredths("0.20 0.18 0.12 1/80 11206\n"), 20);
        assert_eq!(hundredths(""), 0);
        assert_eq!(memory_available("MemTotal: 5 kB\nMemAvailable:    1234 kB\n"), 1234 << 10);
        assert_eq!(memory_available("MemTotal: 5 kB\n"), 0);
    }

    #[test]
    fn each_is_another() {
        assert_ne!(random_id().unwrap(), random_id().unwrap());
        assert!(measure().uptime_ms > 0);
    }
}
