//! A chip's signature and page size, from the headers of the installed avr-libc: they are read as data.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// What avr-libc's `avr/io*.h` say of a chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChipFacts {
    /// What the chip answers when its signature is read: SIGNATURE_0 to SIGNATURE_2.
    pub signature: [u8; 3],
    /// What is written to flash at once, in bytes (SPM_PAGESIZE).
    pub page_bytes: u32,
    /// All of its flash, loader included, in bytes (FLASHEND + 1).
    pub flash_bytes: u32,
    /// Its EEPROM, in bytes (E2END + 1); 0 where it has none.
    pub eeprom_bytes: u32,
}

/// Why a chip is not known.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChipError {
    /// A header cannot be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// avr-libc does not have it.
    #[error("there is no chip {mcu:?} in {}", path.display())]
    Unknown {
        /// The chip.
        mcu: String,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Its header lacks a number.
    #[error("{} does not give {what}", path.display())]
    Lacks {
        /// Its header.
        path: PathBuf,
        /// What is not there.
        what: &'static str,
    },
}

/// Reads a chip's facts below `include`: the folder that holds `avr/io.h`, in a prefix of Debian's archive
/// `usr/lib/avr/include`.
pub fn chip_facts(include: &Path, mcu: &str) -> Result<ChipFacts, ChipError> {
    let read = |path: &Path| {
        std::fs::read(path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(|source| ChipError::Read { path: path.to_owned(), source })
    };
    let io_h = include.join("avr/io.h");
    // gcc defines the chip's name in its own spelling: __AVR_ATmega328P__ for -mmcu=atmega328p.
    let wanted = format!("__avr_{mcu}__").to_lowercase();
    let text = read(&io_h)?;
    let unknown = || ChipError::Unknown { mcu: mcu.to_owned(), path: io_h.clone() };
    let (name, header) = header_of(&text, &wanted).ok_or_else(unknown)?;
    let path = include.join(header);
    let text = read(&path)?;
    // A chip's header may be another's and a little more.
    let mut numbers = HashMap::new();
    for other in text.lines().filter_map(included) {
        numbers.extend(defines(&read(&include.join("avr").join(other))?, name));
    }
    numbers.extend(defines(&text, name));
    let number = |what: &'static str| {
        numbers.get(what).copied().ok_or_else(|| ChipError::Lacks { path: path.clone(), what })
    };
    let byte = |what| number(what).map(|value| u8::try_from(value & 0xff).expect("masked to a byte"));
    Ok(ChipFacts {
        signature: [byte("SIGNATURE_0")?, byte("SIGNATURE_1")?, byte("SIGNATURE_2")?],
        page_bytes: number("SPM_PAGESIZE")?,
        flash_bytes: number("FLASHEND")? + 1,
        eeprom_bytes: number("E2END").map_or(0, |end| end + 1),
    })
}

/// The macro that names the chip, as spelt, and the header that the branch for it includes.
fn header_of<'a>(io_h: &'a str, wanted: &str) -> Option<(&'a str, &'a str)> {
    let mut lines = io_h.lines();
    let name = lines.find_map(|line| macros_of(line).find(|name| name.to_lowercase() == wanted))?;
    // A condition may go on over several lines.
    let include = lines.find(|line| line.contains("include"))?;
    let (_, rest) = include.split_once('<')?;
    Some((name, rest.split_once('>')?.0))
}

/// The chip's header that a line includes, by its name below `avr/`.
fn included(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix('#')?.trim_start().strip_prefix("include")?;
    let name = rest.trim().trim_start_matches(['<', '"']).split(['>', '"']).next()?;
    let name = name.strip_prefix("avr/").unwrap_or(name);
    (name.starts_with("io") && !name.contains('/')).then_some(name)
}

/// The names that a line says `defined` of.
fn macros_of(line: &str) -> impl Iterator<Item = &str> {
    let conditional = line.trim_start().starts_with('#') && line.contains("if") || line.contains("defined");
    line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(move |word| conditional && word.starts_with("__AVR_"))
}

/// The numbers that a header defines for the chip `name`. Its conditions ask for the chip only.
fn defines(text: &str, name: &str) -> HashMap<String, u32> {
    let mut numbers = HashMap::new();
    // Of each open condition: whether this branch holds, and whether one before it did.
    let mut open: Vec<(bool, bool)> = Vec::new();
    for line in text.lines() {
        let line = line.trim_start();
        let Some(directive) = line.strip_prefix('#').map(str::trim_start) else { continue };
        let holds = |condition: &str| {
            let named: Vec<_> = macros_of(condition).collect();
            // A condition that does not ask for a chip is taken to hold: the include guard is one.
            named.is_empty() || named.contains(&name) != condition.contains('!')
        };
        if let Some(condition) = directive.strip_prefix("ifndef") {
            let holds = macros_of(line).all(|asked| asked != name) || condition.trim().is_empty();
            open.push((holds, holds));
        } else if directive.starts_with("if") {
            let holds = holds(line);
            open.push((holds, holds));
        } else if directive.starts_with("elif") {
            let holds = holds(line);
            if let Some((now, before)) = open.last_mut() {
                *now = !*before && holds;
                *before |= holds;
            }
        } else if directive.starts_with("else") {
            if let Some((now, before)) = open.last_mut() {
                *now = !*before;
                *before = true;
            }
        } else if directive.starts_with("endif") {
            open.pop();
        } else if let Some(define) = directive.strip_prefix("define")
            && open.iter().all(|(now, _)| *now)
        {
            let mut words = define.split_whitespace();
            if let (Some(key), Some(value)) = (words.next(), words.next())
                && let Some(value) = number(value)
            {
                numbers.insert(key.to_owned(), value);
            }
        }
    }
    numbers
}

fn number(text: &str) -> Option<u32> {
    let text = text.trim_matches(['(', ')']).trim_end_matches(['U', 'L', 'u', 'l']);
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IO_H: &str = "\
#ifndef _AVR_IO_H_
#if defined (__AVR_ATtiny1__)
#  include <avr/iotn1.h>
#elif defined (__AVR_ATmega1__) \\
   || defined (__AVR_ATmega1P__)
#  include <avr/iom1p.h>
#endif
#endif
";
    const IOM1P_H: &str = "\
#ifndef _AVR_IOM1P_H_
#define _AVR_IOM1P_H_ 1
#define SPM_PAGESIZE 128
#define FLASHEND     (0x7FFF)
#define E2END        0x3FFU
#define SIGNATURE_0 0x1E
#define SIGNATURE_1 0x95
#if defined(__AVR_ATmega1__)
#  define SIGNATURE_2 0x14
#else
#  define SIGNATURE_2 0x0F
#endif
#endif
";

    #[test]
    fn one_header_for_two_chips() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("avr")).unwrap();
        std::fs::write(folder.path().join("avr/io.h"), IO_H).unwrap();
        std::fs::write(folder.path().join("avr/iom1p.h"), IOM1P_H).unwrap();
        let facts = |mcu| chip_facts(folder.path(), mcu);
        let expect = ChipFacts {
            signature: [0x1e, 0x95, 0x0f],
            page_bytes: 128,
            flash_bytes: 0x8000,
            eeprom_bytes: 0x400,
        };
        assert_eq!(facts("atmega1p").unwrap(), expect);
        assert_eq!(facts("atmega1").unwrap().signature, [0x1e, 0x95, 0x14]);
        assert!(matches!(facts("atmega2"), Err(ChipError::Unknown { .. })));
        assert!(matches!(facts("attiny1"), Err(ChipError::Read { .. })));
    }
}
