//! Of a Linux guest's snapshot something is damaged or missing, or it is of another machine: refused with the reason, before a
//! process starts where that can be known, and in QEMU's own words where only that knows.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use farmhand_machine::SnapshotError;
use serde_json::{Value, json};

use super::shelf::{Shelf, letter, name};
use super::snapshot_hazards::sha256;
use super::{Machine, or_hang};

/// A file, what becomes of it, and what is said of that.
type Case = (&'static str, fn(&Path), &'static str);

/// A file of `one` is changed, and is as it was when this is done.
async fn with<T>(
    shelf: &mut Shelf,
    file: &str,
    change: fn(&Path),
    then: impl AsyncFnOnce(&mut Shelf) -> T,
) -> T {
    let (path, kept) = (shelf.file("one", file), shelf.bench.home.path().join("kept"));
    fs::rename(&path, &kept).unwrap();
    fs::copy(&kept, &path).unwrap();
    change(&path);
    let came = then(shelf).await;
    fs::rename(&kept, &path).unwrap();
    came
}

fn cut(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

fn flip(path: &Path) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let (middle, mut byte) = (file.metadata().unwrap().len() / 2, [0]);
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[byte[0] ^ 1], middle).unwrap();
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

/// Seen red without `verify` in `verified`.
#[tokio::test]
async fn a_guest_of_which_a_file_is_damaged_or_missing_is_refused_before_anything_starts() {
    let mut shelf = Shelf::of_guests().await;
    let source = shelf.letters().await;
    letter(&source, "a").await;
    shelf.save(&source, "one").await.unwrap();
    let cases: [Case; 9] = [
        ("memory", cut, "its memory has "),
        ("memory", flip, "its memory is not what was saved"),
        ("memory", remove, "its memory is not to be read"),
        ("disk", cut, "its disk has "),
        ("disk", flip, "its disk is not what was saved"),
        ("disk", remove, "its disk is not to be read"),
        ("kernel", flip, "its kernel is not what was saved"),
        ("kernel", remove, "its kernel is not to be read"),
        ("initrd", remove, "its initrd is not to be read"),
    ];
    for (file, change, why) in cases {
        let refused = with(&mut shelf, file, change, async |shelf| shelf.refused("one").await).await;
        assert!(matches!(refused, SnapshotError::Damaged { .. }), "{refused}");
        assert!(refused.to_string().contains(why), "{refused}");
    }
    shelf.goes_on_with("one", "b").await;
    shelf.source_runs_on(&source, "b").await;
}

/// What `one` says of itself.
fn description(shelf: &Shelf) -> Value {
    serde_json::from_slice(&fs::read(shelf.file("one", "description.json")).unwrap()).unwrap()
}

/// Has `one` say this of itself, with the key that this makes.
fn describe(shelf: &Shelf, mut said: Value) {
    let mut fields = Vec::new();
    let mut add = |field: &Value| {
        let field = field.as_str().unwrap();
        fields.extend((field.len() as u64).to_le_bytes());
        fields.extend(field.bytes());
    };
    [&json!("farmhand snapshot 2"), &said["kind"], &said["emulator"]["sha256"]]
        .into_iter()
        .for_each(&mut add);
    for role in ["kernel", "initrd"] {
        [&json!(role), &said["parts"][role]["sha256"]].into_iter().for_each(&mut add);
    }
    add(&json!(""));
    said["arguments"].as_array().unwrap().iter().for_each(add);
    said["key"] = json!(sha256(&fields));
    fs::write(shelf.file("one", "description.json"), said.to_string()).unwrap();
}

/// Another version of farmhand would say so. Seen red without the comparison of arguments in `fits`.
#[tokio::test]
async fn a_guest_of_another_machine_is_refused_before_anything_starts() {
    let mut shelf = Shelf::of_guests().await;
    let source = shelf.letters().await;
    letter(&source, "a").await;
    shelf.save(&source, "one").await.unwrap();
    let whole = description(&shelf);
    let (mut larger, mut unknown) = (whole.clone(), whole.clone());
    *larger["arguments"].as_array_mut().unwrap().last_mut().unwrap() = json!("512");
    unknown["kind"] = json!("pdp11");
    for (said, why) in [(larger, "-m 512"), (unknown, "pdp11, and this is not known")] {
        describe(&shelf, said);
        let refused = shelf.refused("one").await;
        assert!(matches!(refused, SnapshotError::Other { what: "a machine", .. }), "{refused}");
        assert!(refused.to_string().contains(why), "{refused}");
    }
    describe(&shelf, whole);
    shelf.goes_on_with("one", "b").await;
}

/// Whatever is in the stream, as long as it is described so.
fn another_machine(memory: &Path) {
    let mut bytes = fs::read(memory).unwrap();
    let q35 = b"pc-q35-";
    let at = bytes.windows(q35.len()).position(|some| some == q35).expect("it says which machine it is of");
    bytes[at + q35.len() - 2] = b'9';
    fs::write(memory, bytes).unwrap();
}

fn no_qcow2(disk: &Path) {
    fs::write(disk, [0; 1 << 16]).unwrap();
}

/// QEMU has begun by then: it ends, its words are told, and nothing of the machine stays.
/// Seen red without `last_words` in `one`.
#[tokio::test]
async fn what_only_qemu_finds_in_a_guest_is_told_in_its_words_and_nothing_stays() {
    let mut shelf = Shelf::of_guests().await;
    let source = shelf.letters().await;
    letter(&source, "a").await;
    shelf.save(&source, "one").await.unwrap();
    let whole = description(&shelf);
    let cases: [Case; 3] = [
        ("memory", another_machine, "Machine type received is 'pc-q39-"),
        ("memory", cut, "load of migration failed"),
        ("disk", no_qcow2, "not in qcow2 format"),
    ];
    for (file, change, words) in cases {
        let place = shelf.place();
        let refused = async |shelf: &mut Shelf| {
            let (mut said, bytes) = (whole.clone(), fs::read(shelf.file("one", file)).unwrap());
            said["parts"][file] = json!({"len": bytes.len(), "sha256": sha256(&bytes)});
            describe(shelf, said);
            shelf.again_in(&place, "one").await.map(drop).unwrap_err()
        };
        let refused = with(&mut shelf, file, change, refused).await;
        assert!(refused.to_string().contains(words), "{file}: {refused}");
        assert!(or_hang("none is there", Machine::adopt(&place.folder)).await.unwrap().is_none());
        shelf.nothing_is_left_in(&place.folder);
    }
    describe(&shelf, whole);
    shelf.goes_on_with("one", "b").await;
    shelf.all.delete(&name("one")).unwrap();
    shelf.source_runs_on(&source, "b").await;
}
