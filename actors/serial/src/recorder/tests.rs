//! Recordings on real files: rotation, recovery, damage, a full disk.

use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use farmhand_api::{EpochCause, LogFrom, Stamp};
use farmhand_records::{DeviceName, Epoch, v1};
use proptest::prelude::*;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{End, Recorder};
use crate::disk::SEGMENTS_MAX;
use crate::entry::{Body, Entry, HEADER_BYTES};
use crate::replay::{Found, Replay, find};
use crate::segment::{self, HEAD_BYTES};

/// A record of the chunks below.
const RECORD: u64 = (HEADER_BYTES + 100) as u64;

fn at(tick: u64) -> Stamp {
    Stamp { mono_us: 1_000 * tick, unix_us: 1_000_000 * tick }
}

fn open(dir: &Path, segment_bytes_max: u64) -> Recorder {
    Recorder::open(dir, segment_bytes_max, None, at(0))
}

/// A hundred bytes that say which they are.
fn chunk(number: u64) -> Bytes {
    format!("{number:0>99}\n").into()
}

fn record(recorder: &mut Recorder, chunks: std::ops::Range<u64>) {
    chunks.for_each(|number| recorder.chunk(&chunk(number), at(number)));
}

/// All that a replay finds, and what it says of damage.
fn replay(dir: &Path, seq: u64) -> (Vec<Entry>, Vec<String>) {
    let mut replay = Replay::open(dir, seq).unwrap();
    let (mut entries, mut damage) = (Vec::new(), Vec::new());
    loop {
        match replay.next().unwrap() {
            Found::Entry(entry) => entries.push(entry),
            Found::Damage(why) => damage.push(why),
            Found::End(why) => {
                damage.extend(why);
                return (entries, damage);
            }
        }
    }
}

fn bytes(entries: &[Entry]) -> Vec<u8> {
    let chunk = |entry: &Entry| match &entry.body {
        Body::Chunk(bytes) => bytes.to_vec(),
        _ => Vec::new(),
    };
    entries.iter().flat_map(chunk).collect()
}

fn chunks(numbers: std::ops::Range<u64>) -> Vec<u8> {
    numbers.flat_map(chunk).collect()
}

fn assert_consecutive(entries: &[Entry]) {
    for pair in entries.windows(2) {
        assert_eq!((pair[1].seq, pair[1].offset), (pair[0].seq + 1, pair[0].end()));
    }
}

#[test]
fn the_oldest_is_dropped_whole_and_the_rest_is_all_there() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("uno");
    let mut recorder = open(&dir, HEAD_BYTES as u64 + 10 * RECORD);
    recorder.begin_epoch(Epoch(1), EpochCause::Opened, at(0));
    record(&mut recorder, 0..150);
    assert!(recorder.take_notes().is_empty());
    let segments = segment::list(&dir).unwrap();
    assert_eq!(segments.len(), SEGMENTS_MAX);
    let (entries, damage) = replay(&dir, 0);
    assert!(damage.is_empty(), "{damage:?}");
    assert_consecutive(&entries);
    assert_eq!(entries.last().unwrap().end(), 15_000);
    let first = entries[0].offset / 100;
    assert_eq!(bytes(&entries), chunks(first..150));
    assert!(first > 60 && first < 90, "{first} is not the oldest of eight segments");
    // From any of them on.
    for entry in &entries {
        let (from, _) = replay(&dir, entry.seq);
        assert_eq!(from.first(), Some(entry));
        assert_eq!(from.len() as u64, 151 - entry.seq);
    }
}

#[test]
fn a_recorder_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = open(folder.path(), 1 << 20);
    recorder.begin_epoch(Epoch(4), EpochCause::Opened, at(0));
    record(&mut recorder, 0..5);
    recorder.lent(at(5));
    let end = recorder.end();
    drop(recorder);
    let mut recorder = open(folder.path(), 1 << 20);
    assert!(recorder.take_notes().is_empty());
    assert_eq!((recorder.end(), recorder.epoch(), recorder.is_lent()), (end, Some(Epoch(4)), true));
    recorder.returned(at(6));
    record(&mut recorder, 5..9);
    assert_eq!(segment::list(folder.path()).unwrap(), [1]);
    let (entries, damage) = replay(folder.path(), 0);
    assert!(damage.is_empty());
    assert_consecutive(&entries);
    assert_eq!(bytes(&entries), chunks(0..9));
}

#[test]
fn a_torn_tail_is_cut_and_told_wherever_it_is_torn() {
    for torn in 1..RECORD {
        let folder = tempfile::tempdir().unwrap();
        let mut recorder = open(folder.path(), 1 << 20);
        record(&mut recorder, 0..3);
        drop(recorder);
        let path = segment::path(folder.path(), 1);
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(file.metadata().unwrap().len() - torn).unwrap();
        let mut recorder = open(folder.path(), 1 << 20);
        let notes = recorder.take_notes();
        assert!(
            matches!(&notes[..], [note] if note.contains(&format!("{} bytes cut off segment 1", RECORD - torn)))
        );
        assert_eq!(recorder.end(), End { seq: 2, offset: 200 });
        record(&mut recorder, 7..8);
        let (entries, damage) = replay(folder.path(), 0);
        assert!(damage.is_empty(), "{damage:?}");
        assert_consecutive(&entries);
        assert_eq!(bytes(&entries), [chunks(0..2), chunks(7..8)].concat());
    }
}

#[test]
fn a_segment_whose_making_was_interrupted_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = open(folder.path(), 1 << 20);
    record(&mut recorder, 0..3);
    drop(recorder);
    fs::write(segment::path(folder.path(), 2), b"FHSER").unwrap();
    let mut recorder = open(folder.path(), 1 << 20);
    assert_eq!(recorder.take_notes().len(), 1);
    record(&mut recorder, 3..4);
    assert_eq!(segment::list(folder.path()).unwrap(), [1]);
    assert_eq!(bytes(&replay(folder.path(), 0).0), chunks(0..4));
}

#[test]
fn offsets_that_were_told_are_not_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = open(folder.path(), 1 << 20);
    recorder.begin_epoch(Epoch(1), EpochCause::Opened, at(0));
    record(&mut recorder, 0..3);
    drop(recorder);
    let device = DeviceName::new("uno").unwrap();
    let place = v1::Serial { device, segment: 1, offset: 1000, epoch: Epoch(1) };
    let mut recorder = Recorder::open(folder.path(), 1 << 20, Some(&place), at(1));
    assert_eq!(recorder.take_notes().len(), 1);
    assert_eq!(recorder.end().offset, 1000);
    let (entries, _) = replay(folder.path(), 0);
    assert_eq!(entries.last().map(|entry| entry.body.clone()), Some(Body::Lost(700)));
    // The whole folder gone: the place is what is left.
    fs::remove_dir_all(folder.path()).unwrap();
    let recorder = Recorder::open(folder.path(), 1 << 20, Some(&place), at(1));
    assert_eq!((recorder.end().offset, recorder.epoch()), (1000, Some(Epoch(1))));
}

#[test]
fn damage_in_the_middle_is_named_and_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = open(folder.path(), HEAD_BYTES as u64 + 10 * RECORD);
    record(&mut recorder, 0..40);
    drop(recorder);
    let path = segment::path(folder.path(), 2);
    let mut damaged = fs::read(&path).unwrap();
    damaged[HEAD_BYTES + 3 * RECORD as usize + 70] ^= 4;
    fs::write(&path, damaged).unwrap();
    let (entries, damage) = replay(folder.path(), 0);
    assert_eq!(damage, ["segment 2 at byte 532: a record with a wrong checksum"]);
    assert_eq!(bytes(&entries), [chunks(0..13), chunks(20..40)].concat());
}

#[test]
fn damage_in_the_last_segment_is_not_taken_for_a_torn_tail() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = open(folder.path(), 1 << 20);
    record(&mut recorder, 0..10);
    drop(recorder);
    let path = segment::path(folder.path(), 1);
    let mut damaged = fs::read(&path).unwrap();
    damaged[HEAD_BYTES + 3 * RECORD as usize + 70] ^= 4;
    fs::write(&path, &damaged).unwrap();
    let mut recorder = open(folder.path(), 1 << 20);
    assert!(matches!(&recorder.take_notes()[..], [note] if note.contains("damaged at byte 532")));
    assert_eq!(fs::read(&path).unwrap(), damaged, "the evidence stays");
    assert_eq!(recorder.end(), End { seq: 10, offset: 1000 });
    record(&mut recorder, 10..12);
    let (entries, damage) = replay(folder.path(), 0);
    assert_eq!(damage.len(), 1);
    assert_eq!(bytes(&entries), [chunks(0..3), chunks(10..12)].concat());
}

#[test]
fn a_newer_format_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = open(folder.path(), 1 << 20);
    record(&mut recorder, 0..3);
    drop(recorder);
    let path = segment::path(folder.path(), 1);
    let mut newer = fs::read(&path).unwrap();
    newer[8] = 2;
    let crc = crc32fast::hash(&[&newer[..12], &newer[16..HEAD_BYTES]].concat());
    newer[12..16].copy_from_slice(&crc.to_le_bytes());
    fs::write(&path, &newer).unwrap();
    let mut recorder = open(folder.path(), 1 << 20);
    assert!(recorder.take_notes()[0].contains("of version 2"), "it is named");
    record(&mut recorder, 3..4);
    assert_eq!(fs::read(&path).unwrap(), newer);
    let (entries, damage) = replay(folder.path(), 0);
    assert_eq!((bytes(&entries), damage.len()), (chunks(3..4), 1));
}

#[test]
fn places_are_found_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let mut recorder = open(dir, HEAD_BYTES as u64 + 10 * RECORD);
    for epoch in 1..=5 {
        recorder.begin_epoch(Epoch(epoch), EpochCause::Reset, at(10 * epoch - 1));
        record(&mut recorder, 10 * epoch..10 * epoch + 10);
    }
    let (entries, _) = replay(dir, 0);
    for entry in &entries {
        let by_offset = find(dir, LogFrom::Offset(entry.offset)).unwrap().unwrap();
        let first = entries.iter().find(|other| other.item(entry.offset).is_some()).unwrap();
        assert_eq!(by_offset, first.seq);
        let by_time = find(dir, LogFrom::Time(entry.stamp.unix_us)).unwrap().unwrap();
        let first = entries.iter().find(|other| other.stamp.unix_us >= entry.stamp.unix_us).unwrap();
        assert_eq!(by_time, first.seq);
        let by_epoch = find(dir, LogFrom::Epoch(entry.epoch)).unwrap().unwrap();
        assert_eq!(by_epoch, 11 * (entry.epoch.0 - 1));
    }
    assert_eq!(find(dir, LogFrom::Offset(150)).unwrap(), Some(2), "in the middle of a chunk");
    assert_eq!(find(dir, LogFrom::Epoch(Epoch(6))).unwrap(), None);
    assert_eq!(find(dir, LogFrom::Offset(1_000_000)).unwrap(), None);
    // The same number again, where a store was lost: the newest counts.
    recorder.begin_epoch(Epoch(2), EpochCause::Opened, at(100));
    assert_eq!(find(dir, LogFrom::Epoch(Epoch(2))).unwrap(), Some(55));
}

/// The system refuses files of more than so many bytes to a child process, and then no longer.
#[test]
fn a_full_disk_is_told_once_and_recording_goes_on() {
    const CHILD: &str = "FARMHAND_TEST_FULL_DISK";
    const LIMIT: u64 = 8192;
    if let Some(dir) = std::env::var_os(CHILD) {
        return full_disk(Path::new(&dir), LIMIT);
    }
    let folder = tempfile::tempdir().unwrap();
    let name = "recorder::tests::a_full_disk_is_told_once_and_recording_goes_on";
    // The signal that comes with the limit is ignored, as by all programs that look at their errors.
    let script = r#"trap '' XFSZ; exec "$0" --exact "$1" --nocapture"#;
    let program = std::env::current_exe().unwrap();
    let output =
        Command::new("sh").args(["-c", script]).arg(program).arg(name).env(CHILD, folder.path()).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
    assert_eq!(bytes(&replay(folder.path(), 0).0).len() as u64, LIMIT / RECORD * 100 + 1000);
}

fn full_disk(dir: &Path, limit: u64) {
    let old = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(limit), maximum: old.maximum }).unwrap();
    let mut recorder = open(dir, 1 << 20);
    let fit = (limit - HEAD_BYTES as u64) / RECORD;
    let lost_from = fit * 100;
    record(&mut recorder, 0..80);
    let notes = recorder.take_notes();
    assert!(matches!(&notes[..], [note] if note.contains("in memory only")), "{notes:?}");
    // A mark is kept until there is room.
    recorder.begin_epoch(Epoch(2), EpochCause::Reset, at(80));
    record(&mut recorder, 80..90);
    recorder.tick(at(10_000));
    assert!(recorder.take_notes().is_empty(), "it is told once");
    let end = recorder.end();
    assert_eq!(end, End { seq: 91, offset: 9000 });
    let crate::ring::RingAnswer::Entries(ring) = recorder.after(0) else { panic!("the ring has all") };
    assert_eq!(bytes(&ring), chunks(0..90));
    let (entries, damage) = replay(dir, 0);
    assert!(damage.is_empty(), "{damage:?}");
    assert_eq!(bytes(&entries), chunks(0..fit));

    setrlimit(Resource::Fsize, old).unwrap();
    recorder.tick(at(20_000));
    let notes = recorder.take_notes();
    let lost = 9000 - lost_from;
    assert!(matches!(&notes[..], [note] if note.contains(&format!("again; {lost} bytes"))), "{notes:?}");
    record(&mut recorder, 90..100);
    let (entries, damage) = replay(dir, 0);
    assert!(damage.is_empty(), "{damage:?}");
    let bodies: Vec<_> =
        entries[usize::try_from(fit).unwrap()..][..3].iter().map(|entry| entry.body.clone()).collect();
    let began = Body::EpochBegan(EpochCause::Reset);
    assert_eq!(bodies, [Body::Lost(8000 - lost_from), began, Body::Lost(1000)]);
    assert_eq!(bytes(&entries), [chunks(0..fit), chunks(90..100)].concat());
    for pair in entries.windows(2) {
        assert!(pair[0].seq < pair[1].seq && pair[0].end() == pair[1].offset);
    }
    // And a successor finds it whole.
    let mut successor = open(dir, 1 << 20);
    assert!(successor.take_notes().is_empty());
    assert_eq!(successor.end(), recorder.end());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever byte is damaged: what is given is what was recorded, in order; what is not given is named.
    #[test]
    fn no_damage_is_silent(at_byte in 0_usize..100_000, flip in 1_u8..=255) {
        let folder = tempfile::tempdir().unwrap();
        let mut recorder = open(folder.path(), HEAD_BYTES as u64 + 10 * RECORD);
        record(&mut recorder, 0..35);
        drop(recorder);
        let whole = replay(folder.path(), 0).0;
        let segments = segment::list(folder.path()).unwrap();
        let path = segment::path(folder.path(), segments[at_byte % segments.len()]);
        let mut file = fs::read(&path).unwrap();
        let at_byte = at_byte % file.len();
        file[at_byte] ^= flip;
        fs::write(&path, file).unwrap();
        let (entries, damage) = replay(folder.path(), 0);
        prop_assert!(entries.iter().all(|entry| whole.contains(entry)));
        prop_assert!(entries.windows(2).all(|pair| pair[0].seq < pair[1].seq));
        prop_assert!(entries.len() < whole.len() && !damage.is_empty());
        // And a recorder opens it, says so, and uses no number again.
        let mut recorder = open(folder.path(), HEAD_BYTES as u64 + 10 * RECORD);
        let last = path == segment::path(folder.path(), 4);
        prop_assert_eq!(last, !recorder.take_notes().is_empty());
        record(&mut recorder, 100..101);
        let (entries, _) = replay(folder.path(), 0);
        prop_assert_eq!(bytes(&entries[entries.len() - 1..]), chunks(100..101));
        prop_assert!(entries.windows(2).all(|pair| pair[0].seq < pair[1].seq && pair[0].end() <= pair[1].offset));
    }
}
