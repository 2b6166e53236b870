//! The table in sled 0.34.7, with what it needs to be trusted:
//!
//! - its `flush` on Linux is a `sync_file_range`, which is no promise: a data sync of its file follows;
//! - a page over a quarter of a segment (128 KiB; a leaf holds 16 entries) goes to a file of its own that is never
//!   synced: a long value is kept in parts, so that no page is ever that large;
//! - it panics on some kinds of damage: a panic is caught and is an error.

use std::{
    fs::File,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::Instant,
};

use super::files::sync_folder;
use crate::{
    OpenError,
    backend::{Atomicity, Fault, Scan, Write},
    holder::HELD_RETRY,
};

/// What sled may keep in memory, in bytes: the records of a thousand devices fit.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// How often sled writes what nobody waits for, and collects what is obsolete, in milliseconds. Its own default.
const FLUSH_EVERY_MS: u64 = 500;
/// A value longer than this is kept in parts, in bytes: 16 of them, with their keys, stay below 128 KiB.
const PART_BYTES: usize = 4096;

/// Names sled's one tree of ours.
const TREE: &[u8] = b"records";
/// The first byte of a key: a value, or a part of one.
const VALUE: u8 = b'v';
const PART: u8 = b'p';
/// The first byte of a value: whole, or in so many parts.
const WHOLE: u8 = 0;
const PARTED: u8 = 1;

/// An open table.
#[derive(Debug)]
pub(crate) struct Table {
    db: sled::Db,
    tree: sled::Tree,
    /// The database file, open for its sync; opened before the first write, so that it sees every write error.
    file: File,
    path: PathBuf,
}

impl Table {
    /// Opens sled's folder, waiting until `deadline` for its lock.
    pub(crate) fn open(folder: &Path, deadline: Instant) -> Result<Self, OpenError> {
        loop {
            let error = match caught(|| Self::try_open(folder)) {
                Ok(table) => {
                    table.settle(folder)?;
                    return Ok(table);
                }
                Err(error) => error,
            };
            // sled has no name for it; the words are its own (config.rs, try_lock).
            let held = error.to_string().contains("could not acquire lock");
            if held && Instant::now() < deadline {
                std::thread::sleep(HELD_RETRY);
                continue;
            }
            return Err(match fault("open", folder, error) {
                Fault::Full { path } => OpenError::Full { path },
                Fault::Io { path, .. } if held => OpenError::Held { path, holder: None },
                Fault::Io { path, detail, .. } => OpenError::Unreadable { path, detail },
            });
        }
    }

    fn try_open(folder: &Path) -> sled::Result<Self> {
        let db = sled::Config::new()
            .path(folder)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(Some(FLUSH_EVERY_MS))
            .use_compression(false)
            .open()?;
        let tree = db.open_tree(TREE)?;
        let path = folder.join("db");
        Ok(Self { file: File::open(&path)?, db, tree, path })
    }

    /// sled syncs neither its configuration nor its folder when it makes them.
    fn settle(&self, folder: &Path) -> Result<(), Fault> {
        let conf = folder.join("conf");
        File::open(&conf)
            .and_then(|file| file.sync_all())
            .map_err(|error| Fault::io("sync", &conf, &error))?;
        sync_folder(folder)
    }

    fn fault(&self, what: &'static str) -> impl Fn(sled::Error) -> Fault {
        move |error| fault(what, &self.path, error)
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let read = || match self.tree.get(value_key(key))? {
            Some(value) => self.assemble(key, &value),
            None => Ok(None),
        };
        caught(read).map_err(self.fault("read"))
    }

    /// A value from what its entry says. Nothing where it is not all there.
    fn assemble(&self, key: &[u8], value: &[u8]) -> sled::Result<Option<Vec<u8>>> {
        match value.split_first() {
            Some((&WHOLE, bytes)) => Ok(Some(bytes.to_vec())),
            Some((&PARTED, _)) => {
                let mut bytes = Vec::new();
                for part in 0..parts_of(value) {
                    let Some(part) = self.tree.get(part_key(key, part))? else {
                        return Err(sled::Error::ReportableBug(format!("part {part} is missing")));
                    };
                    bytes.extend_from_slice(&part);
                }
                Ok(Some(bytes))
            }
            _ => Err(sled::Error::ReportableBug("an entry is empty".to_owned())),
        }
    }

    /// All entries that start so, as far as they can be read: forward up to what cannot, then backward up to it.
    pub(crate) fn scan(&self, prefix: &[u8]) -> Result<Scan, Fault> {
        let mut scan = Scan::default();
        let prefix = value_key(prefix);
        let (mut entries, broken) = read_while(self.tree.scan_prefix(&prefix));
        if broken {
            let last = entries.last().map(|(key, _)| key.clone());
            let (mut behind, _) = read_while(self.tree.scan_prefix(&prefix).rev());
            behind.retain(|(key, _)| Some(key) > last.as_ref());
            behind.reverse();
            let name = |key: &Vec<u8>| key[1..].to_vec();
            let before = behind.first().map(|(key, _)| name(key));
            scan.lose(last.as_ref().map(name).as_deref(), before.as_deref());
            entries.append(&mut behind);
        }
        for (key, value) in entries {
            let key = key[1..].to_vec();
            let value = caught(|| self.assemble(&key, &value)).unwrap_or(None);
            scan.entries.push((key, value));
        }
        Ok(scan)
    }

    /// A batch of sled's writes its log out twice before it is applied: several writes are only a batch where they must
    /// be one.
    pub(crate) fn apply(&self, writes: Vec<Write>, atomicity: Atomicity) -> Result<(), Fault> {
        let apply = || {
            let mut entries = Vec::with_capacity(writes.len());
            let mut parted = false;
            for Write { key, value } in writes {
                parted |= self.entries(&mut entries, &key, value)?;
            }
            if parted || atomicity == Atomicity::Whole {
                let mut batch = sled::Batch::default();
                for (key, value) in entries {
                    match value {
                        Some(value) => batch.insert(key, value),
                        None => batch.remove(key),
                    }
                }
                return self.tree.apply_batch(batch);
            }
            for (key, value) in entries {
                match value {
                    Some(value) => self.tree.insert(key, value)?,
                    None => self.tree.remove(key)?,
                };
            }
            Ok(())
        };
        caught(apply).map_err(self.fault("write"))
    }

    /// What a write is in sled's tree. Answers whether it is in parts, or was.
    fn entries(&self, entries: &mut Vec<Entry>, key: &[u8], value: Option<Vec<u8>>) -> sled::Result<bool> {
        let entry = value_key(key);
        let had = self.tree.get(&entry)?.map_or(0, |old| parts_of(&old));
        let mut has = 0;
        let value = match value {
            Some(value) if value.len() > PART_BYTES => {
                for part in value.chunks(PART_BYTES) {
                    entries.push((part_key(key, has), Some(part.to_vec())));
                    has += 1;
                }
                let [low, high] = has.to_le_bytes();
                Some(vec![PARTED, low, high])
            }
            whole => whole.map(|mut value| {
                value.insert(0, WHOLE);
                value
            }),
        };
        entries.push((entry, value));
        entries.extend((has..had).map(|part| (part_key(key, part), None)));
        Ok(has + had > 0)
    }

    pub(crate) fn sync(&self) -> Result<(), Fault> {
        caught(|| self.tree.flush().map(|_| ())).map_err(self.fault("flush"))?;
        self.file.sync_data().map_err(|error| Fault::io("sync", &self.path, &error))
    }

    /// Ends sled's own threads and lets go of its lock.
    pub(crate) fn close(self) -> Result<(), Fault> {
        let Self { db, tree, file, path } = self;
        let closed = catch_unwind(AssertUnwindSafe(|| {
            drop(tree);
            drop(db);
        }));
        drop(file);
        closed.map_err(|panic| Fault::Io { what: "close", path, detail: said(&*panic) })
    }
}

/// Keys and values as sled has them.
type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// A key of sled's and its new value; none where it is removed.
type Entry = (Vec<u8>, Option<Vec<u8>>);

/// What comes until the end or the first that cannot be read, and whether there was one.
fn read_while(entries: impl Iterator<Item = sled::Result<(sled::IVec, sled::IVec)>>) -> (Entries, bool) {
    let mut entries = entries;
    let mut read = Vec::new();
    loop {
        match catch_unwind(AssertUnwindSafe(|| entries.next())) {
            Ok(Some(Ok((key, value)))) => read.push((key.to_vec(), value.to_vec())),
            Ok(None) => return (read, false),
            Ok(Some(Err(_))) | Err(_) => return (read, true),
        }
    }
}

fn value_key(key: &[u8]) -> Vec<u8> {
    [&[VALUE], key].concat()
}

fn part_key(key: &[u8], part: u16) -> Vec<u8> {
    [&[PART], key, &part.to_be_bytes()].concat()
}

fn parts_of(entry: &[u8]) -> u16 {
    match entry {
        [PARTED, low, high] => u16::from_le_bytes([*low, *high]),
        _ => 0,
    }
}

/// A panic of sled's is an error like any other.
fn caught<T>(act: impl FnOnce() -> sled::Result<T>) -> sled::Result<T> {
    catch_unwind(AssertUnwindSafe(act))
        .unwrap_or_else(|panic| Err(sled::Error::ReportableBug(format!("it panicked: {}", said(&*panic)))))
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no words".to_owned())
}

fn fault(what: &'static str, path: &Path, error: sled::Error) -> Fault {
    match error {
        sled::Error::Io(error) => Fault::io(what, path, &error),
        other => Fault::io(what, path, &io::Error::other(other.to_string())),
    }
}
