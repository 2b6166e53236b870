//! What `getvar` answers, as real loaders write it.

/// What digits without a prefix are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bare {
    /// Decimal, but hexadecimal where a letter shows it.
    Decimal,
    /// Hexadecimal.
    Hexadecimal,
}

impl Bare {
    /// How Google's client reads this variable (AOSP, `fastboot.cpp`: the sizes of partitions are hexadecimal with or
    /// without `0x`, since loaders exist that leave it out; `max-download-size` and `max-fetch-size` are decimal).
    pub fn of(variable: &str) -> Self {
        if variable.starts_with("partition-size:") { Self::Hexadecimal } else { Self::Decimal }
    }
}

/// A number as loaders write it: spaces around it; `0x` or `0X` and hexadecimal digits; or digits alone, which are what `bare`
/// says. Never octal. `None` where it is none, or does not fit.
///
/// ```
/// use farmhand_wire::fastboot::variable::{Bare, number};
///
/// assert_eq!(number(" 0x20000000", Bare::Decimal), Some(0x2000_0000));
/// assert_eq!(number("536870912", Bare::Decimal), Some(0x2000_0000));
/// assert_eq!(number("20000000", Bare::Hexadecimal), Some(0x2000_0000));
/// assert_eq!(number("1fe000", Bare::Decimal), Some(0x1f_e000));
/// assert_eq!(number("", Bare::Decimal), None);
/// ```
pub fn number(text: &str, bare: Bare) -> Option<u64> {
    let text = text.trim();
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return radix(hex, 16);
    }
    match bare {
        Bare::Hexadecimal => radix(text, 16),
        Bare::Decimal if text.bytes().all(|byte| byte.is_ascii_digit()) => radix(text, 10),
        Bare::Decimal => radix(text, 16),
    }
}

/// Digits only: the parser of the standard library also takes a sign.
fn radix(digits: &str, radix: u32) -> Option<u64> {
    if digits.chars().all(|digit| digit.is_digit(radix)) {
        u64::from_str_radix(digits, radix).ok()
    } else {
        None
    }
}

/// Variables that are asked with an argument, so that their names hold a colon (README, "Client Variables"; AOSP,
/// `fastboot/constants.h`).
const WITH_ARGUMENT: [&str; 7] = [
    "has-slot",
    "is-logical",
    "partition-size",
    "partition-type",
    "slot-retry-count",
    "slot-successful",
    "slot-unbootable",
];

/// One line of `getvar:all`: name and value, the spaces around both taken away. `None` where it is no such line.
///
/// Names and values may both hold colons, so what is known of names decides: one of a variable with an argument
/// ends at the second colon, any other at the first.
///
/// ```
/// use farmhand_wire::fastboot::variable::split_line;
///
/// assert_eq!(split_line("partition-size:boot: 0x4000000"), Some(("partition-size:boot", "0x4000000")));
/// assert_eq!(split_line("version-bootloader:2024-01-02 03:04:05"), Some(("version-bootloader", "2024-01-02 03:04:05")));
/// assert_eq!(split_line("all done"), None);
/// ```
pub fn split_line(line: &str) -> Option<(&str, &str)> {
    let (first, behind) = line.split_once(':')?;
    let mut end = first.len();
    if WITH_ARGUMENT.contains(&first.trim())
        && let Some(second) = behind.find(':')
    {
        end += 1 + second;
    }
    let name = line[..end].trim();
    if name.is_empty() { None } else { Some((name, line[end + 1..].trim())) }
}
