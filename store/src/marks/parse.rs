//! What a marks file says, however damaged it is.

use std::collections::BTreeMap;

use super::codec::{Found, HEADER_BYTES, Head, Header, Mark, decode_header, decode_record, next_magic};

/// A file, read.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    /// Which store it belongs to; nothing where the header is damaged.
    pub(crate) store_id: Option<u64>,
    /// Written by a newer farmhand: nothing else is known.
    pub(crate) too_new: Option<u16>,
    /// What was known to be on the disk.
    pub(crate) head: Option<Head>,
    /// The newest mark of each key.
    pub(crate) newest: BTreeMap<Vec<u8>, Mark>,
    /// Where the next record goes, and how long the file is.
    pub(crate) end: u64,
    pub(crate) len: u64,
    /// A torn last group, in bytes; it was never answered and is not among the newest.
    pub(crate) torn: Option<u64>,
    /// Something that had been answered is damaged or missing.
    pub(crate) damaged: bool,
}

/// Reads a file to its end, whatever is in it.
pub(crate) fn parse(file: &[u8]) -> Parsed {
    let mut parsed = Parsed { len: file.len() as u64, ..Parsed::default() };
    match decode_header(file) {
        Header::TooNew { found } => return Parsed { too_new: Some(found), ..parsed },
        Header::Damaged => parsed.damaged = true,
        Header::Ours { store_id, head } => {
            parsed.store_id = Some(store_id);
            parsed.head = head;
            parsed.damaged = head.is_none();
        }
    }
    let (found, holes) = walk(file);
    let written_end = written_end(file);
    let answered_end = parsed.head.map_or(0, |head| head.end);
    parsed.damaged |= (file.len() as u64) < answered_end;

    let cut = torn_from(&found, &holes);
    let keep_to = match cut {
        // What was answered is never cut, only reported.
        Some(at) if at < answered_end => {
            parsed.damaged = true;
            u64::MAX
        }
        Some(at) => {
            parsed.torn = Some(written_end.saturating_sub(at));
            at
        }
        None => u64::MAX,
    };
    parsed.damaged |= holes.iter().any(|hole| *hole < cut.unwrap_or(u64::MAX));
    parsed.end = HEADER_BYTES;
    for record in found.into_iter().filter(|f| f.at < keep_to) {
        parsed.end = record.at + record.mark.size() as u64;
        let newest = parsed.newest.entry(record.mark.key.clone()).or_insert_with(|| record.mark.clone());
        if newest.seq < record.mark.seq {
            *newest = record.mark;
        }
    }
    parsed
}

/// All sound records, and where something else lies between or behind them.
fn walk(file: &[u8]) -> (Vec<Found>, Vec<u64>) {
    let (mut found, mut holes) = (Vec::new(), Vec::new());
    let mut at = HEADER_BYTES as usize;
    let end = written_end(file) as usize;
    while at < end {
        if let Some(record) = decode_record(file, at) {
            at += record.mark.size();
            found.push(record);
            continue;
        }
        holes.push(at as u64);
        let mut from = at + 1;
        at = loop {
            match next_magic(file, from) {
                Some(next) if decode_record(file, next).is_some() => break next,
                Some(next) => from = next + 1,
                None => break end,
            }
        };
    }
    (found, holes)
}

/// Where the zeros at the end begin.
fn written_end(file: &[u8]) -> u64 {
    file.iter().rposition(|b| *b != 0).map_or(0, |last| last as u64 + 1)
}

/// Where the last group begins, if it is not whole.
fn torn_from(found: &[Found], holes: &[u64]) -> Option<u64> {
    let Some(last) = found.last() else { return holes.first().copied() };
    let last_hole = holes.last().copied();
    if last.left > 0 || last_hole.is_some_and(|hole| hole >= last.group_start && hole < last.at) {
        return Some(last.group_start);
    }
    last_hole.filter(|hole| *hole > last.at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        envelope::{self, Envelope},
        marks::{encode_group, encode_header},
    };

    fn mark(key: &str, seq: u64) -> Mark {
        let envelope = Envelope { kind: 1, version: 1, incarnation: 1, seq, body: b"intended" };
        Mark {
            key: key.as_bytes().to_vec(),
            seq,
            gone: false,
            envelope: envelope::encode(key.as_bytes(), &envelope),
        }
    }

    /// Groups behind a header whose slot knows of the first `answered` of them.
    fn file(groups: &[Vec<Mark>], answered: usize) -> Vec<u8> {
        let mut records = Vec::new();
        let mut end = HEADER_BYTES;
        for (i, group) in groups.iter().enumerate() {
            let at = HEADER_BYTES + records.len() as u64;
            records.extend(encode_group(at, group));
            if i < answered {
                end = HEADER_BYTES + records.len() as u64;
            }
        }
        let mut file = encode_header(7, Head { seq: 9, end });
        file.extend(records);
        file.resize(file.len() + 100, 0);
        file
    }

    fn keys(parsed: &Parsed) -> Vec<(&str, u64)> {
        parsed.newest.values().map(|m| (std::str::from_utf8(&m.key).unwrap(), m.seq)).collect()
    }

    fn groups() -> Vec<Vec<Mark>> {
        vec![vec![mark("a", 1)], vec![mark("b", 2), mark("a", 3)], vec![mark("c", 4), mark("b", 5)]]
    }

    /// What a release wrote, every later one must read: these bytes never change.
    #[test]
    fn golden() {
        let mut gone = mark("a", 3);
        gone.gone = true;
        let mut bytes = encode_header(7, Head { seq: 9, end: 64 });
        bytes.extend(encode_group(64, &[gone]));
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "66686d61726b730a010000000700000000000000a32ac1df00000000000000000900000000000000400000000000000066875d1800000000000000000000000066686d6b010001004000000000000000000000002a00000061666872630100010001000100000000000000030000000000000008000000696e74656e646564a0e26224e4b04774"
        );
    }

    #[test]
    fn the_newest_of_each_key() {
        let parsed = parse(&file(&groups(), 3));
        assert_eq!(keys(&parsed), [("a", 3), ("b", 5), ("c", 4)]);
        assert_eq!((parsed.damaged, parsed.torn, parsed.store_id), (false, None, Some(7)));
        assert_eq!(parsed.head.unwrap().seq, 9);
    }

    #[test]
    fn a_torn_group_is_cut_whole() {
        let whole = file(&groups(), 2);
        let last = parse(&file(&groups()[..2], 2)).end as usize;
        for cut in last + 1..whole.len() - 101 {
            let parsed = parse(&whole[..cut]);
            assert_eq!(keys(&parsed), [("a", 3), ("b", 2)], "cut at {cut}");
            assert!(!parsed.damaged && parsed.torn.is_some(), "cut at {cut}");
        }
    }

    /// Sectors may reach the disk in any order: the end of a group without its beginning is torn as well.
    #[test]
    fn a_group_without_its_beginning_is_torn() {
        let mut bytes = file(&groups(), 2);
        let last = parse(&file(&groups()[..2], 2)).end as usize;
        bytes[last..last + 20].fill(0);
        let parsed = parse(&bytes);
        assert_eq!(keys(&parsed), [("a", 3), ("b", 2)]);
        assert!(!parsed.damaged && parsed.torn.is_some());
    }

    #[test]
    fn what_was_answered_is_never_cut_only_reported() {
        let mut bytes = file(&groups(), 3);
        let last = parse(&file(&groups()[..2], 2)).end as usize;
        bytes[last] ^= 1;
        let parsed = parse(&bytes);
        assert_eq!(keys(&parsed), [("a", 3), ("b", 5)], "the sound half of the group stays");
        assert!(parsed.damaged && parsed.torn.is_none());
    }

    #[test]
    fn damage_before_the_end_keeps_what_is_behind_it() {
        let mut bytes = file(&groups(), 0);
        bytes[HEADER_BYTES as usize + 30] ^= 0x10;
        let parsed = parse(&bytes);
        assert!(parsed.damaged);
        assert_eq!(keys(&parsed), [("a", 3), ("b", 5), ("c", 4)]);
    }

    #[test]
    fn a_cut_into_answered_marks_is_damage() {
        let bytes = file(&groups(), 3);
        let second = parse(&file(&groups()[..2], 2)).end as usize;
        let parsed = parse(&bytes[..second]);
        assert!(parsed.damaged, "cut exactly between two groups");
        assert!(parse(&[]).damaged);
        assert!(parse(&bytes[..40]).damaged);
    }

    #[test]
    fn an_empty_file_is_sound() {
        let parsed = parse(&file(&[], 0));
        assert!(!parsed.damaged && parsed.torn.is_none() && parsed.newest.is_empty());
        assert_eq!(parsed.end, HEADER_BYTES);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(mut bytes: Vec<u8>, ours: bool) {
            if ours {
                let mut file = file(&groups(), 1);
                file.truncate(file.len() - 100);
                file.append(&mut bytes);
                bytes = file;
            }
            parse(&bytes);
        }

        /// One flipped bit never takes back a mark without a word, and never touches another's.
        #[test]
        fn a_flip_is_never_silent(at: prop::sample::Index, bit in 0..8u8) {
            let sound = file(&groups(), 3);
            let mut bytes = sound.clone();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let (before, after) = (parse(&sound), parse(&bytes));
            let hurt = before.newest.iter().filter(|(key, mark)| after.newest.get(*key) != Some(mark)).count();
            prop_assert!(hurt <= 1);
            prop_assert!(hurt == 0 || after.damaged || after.too_new.is_some());
        }
    }
}
