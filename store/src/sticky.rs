//! What an opening reported and nobody has acted on yet. It is kept in the table, so that a second crash right after
//! the opening does not make a store that went back look sound.

use std::fmt::Write as _;

use crate::{
    DamagedRecord, LostRange, OpenReport, RecordKey, Seq, WentBack,
    key::{KIND_OWN, full},
    text::{hex, unhex},
};

/// Where it lies in the table.
pub(crate) fn key() -> Vec<u8> {
    full(KIND_OWN, b"unsettled")
}

/// What must be told again, as a value of the table.
pub(crate) fn encode(report: &OpenReport) -> Vec<u8> {
    let mut text = String::new();
    let mut line = |args: std::fmt::Arguments<'_>| {
        text.write_fmt(args).and_then(|()| text.write_char('\n')).expect("a string takes all");
    };
    if report.marks_missing {
        line(format_args!("marks-missing"));
    }
    if report.marks_damaged {
        line(format_args!("marks-damaged"));
    }
    if let Some(back) = report.went_back {
        line(format_args!("went-back {} {}", back.found, back.expected));
    }
    for key in &report.rolled_back {
        line(format_args!("rolled-back {}", hex(&key.full())));
    }
    for damaged in &report.damaged {
        line(format_args!("damaged {} {} {}", hex(&damaged.key.full()), damaged.restored, damaged.why));
    }
    let end = |key: &Option<RecordKey>| hex(&key.as_ref().map(RecordKey::full).unwrap_or_default());
    for range in &report.lost {
        line(format_args!("lost {} {}", end(&range.after), end(&range.before)));
    }
    let mut value = crc32fast::hash(text.as_bytes()).to_le_bytes().to_vec();
    value.extend_from_slice(text.as_bytes());
    value
}

/// Puts an earlier report into this one. Where it is damaged itself, the worst is assumed.
pub(crate) fn merge(value: &[u8], report: &mut OpenReport) {
    if decode(value, report).is_none() {
        report.marks_damaged = true;
    }
}

fn decode(value: &[u8], report: &mut OpenReport) -> Option<()> {
    let (crc, text) = value.split_first_chunk::<4>()?;
    if crc32fast::hash(text) != u32::from_le_bytes(*crc) {
        return None;
    }
    for line in std::str::from_utf8(text).ok()?.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "marks-missing" => report.marks_missing = true,
            "marks-damaged" => report.marks_damaged = true,
            "went-back" => {
                let (found, expected) = rest.split_once(' ')?;
                let (found, expected) = (Seq(found.parse().ok()?), Seq(expected.parse().ok()?));
                report.went_back = Some(WentBack { found, expected });
            }
            "rolled-back" => report.rolled_back.push(RecordKey::from_full(&unhex(rest)?)),
            "damaged" => {
                let mut words = rest.splitn(3, ' ');
                let key = RecordKey::from_full(&unhex(words.next()?)?);
                let restored = words.next()? == "true";
                report.damaged.push(DamagedRecord { key, restored, why: words.next()?.to_owned() });
            }
            "lost" => {
                let (after, before) = rest.split_once(' ')?;
                let end = |text| {
                    let key = unhex(text)?;
                    Some((!key.is_empty()).then(|| RecordKey::from_full(&key)))
                };
                report.lost.push(LostRange { after: end(after)?, before: end(before)? });
            }
            _ => return None,
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_whole_or_as_the_worst() {
        let report = OpenReport {
            rolled_back: vec![RecordKey::new(3, *b"s/1")],
            marks_missing: true,
            marks_damaged: true,
            went_back: Some(WentBack { found: Seq(2), expected: Seq(9) }),
            damaged: vec![DamagedRecord {
                key: RecordKey::new(4, []),
                why: "the checksum does not fit".to_owned(),
                restored: true,
            }],
            lost: vec![
                LostRange { after: None, before: Some(RecordKey::new(1, *b"x")) },
                LostRange { after: Some(RecordKey::new(1, *b"y")), before: None },
            ],
            ..OpenReport::default()
        };
        let mut value = encode(&report);
        let mut back = OpenReport::default();
        merge(&value, &mut back);
        assert_eq!(back, report);

        value[10] ^= 1;
        let mut worst = OpenReport::default();
        merge(&value, &mut worst);
        assert!(worst.marks_damaged);
    }
}
