//! The store without a thread, over memory: for tests that enumerate crashes by the ten thousand.

use crate::{
    CheckReport, Crash, Disk, Durability, Listed, OpenError, OpenReport, Put, RecordKey, Seq, StoreError,
    Stored,
    engine::{Change, Engine},
    memory::Memory,
};

/// The same commit code as [`crate::StoreHandle`]'s, called directly. A group is one call.
#[derive(Debug)]
pub struct Model {
    engine: Engine<Memory>,
}

impl Model {
    /// Opens what is on the disk.
    pub fn open(disk: Disk) -> Result<(Self, OpenReport), OpenError> {
        let (engine, report) = Engine::open(Memory::new(disk), Vec::new())?;
        Ok((Self { engine }, report))
    }

    /// Writes a record.
    pub fn put(&mut self, put: Put) -> Result<Seq, StoreError> {
        self.put_all(vec![put])
    }

    /// Writes all of these or none.
    pub fn put_all(&mut self, puts: Vec<Put>) -> Result<Seq, StoreError> {
        self.group(vec![puts]).remove(0)
    }

    /// Writes what several callers ask for at once, as one group commit; each is answered.
    pub fn group(&mut self, group: Vec<Vec<Put>>) -> Vec<Result<Seq, StoreError>> {
        self.commit(group.into_iter().map(Change::Put).collect())
    }

    /// Removes a record. Answers the last write where there is none.
    pub fn remove(&mut self, kind: u16, key: &[u8], durability: Durability) -> Result<Seq, StoreError> {
        self.commit(vec![Change::Remove(RecordKey::new(kind, key), durability)]).remove(0)
    }

    fn commit(&mut self, group: Vec<Change>) -> Vec<Result<Seq, StoreError>> {
        let mut answers = vec![Err(StoreError::Exited); group.len()];
        self.engine.commit(group, |index, answer| answers[index] = answer);
        answers
    }

    /// The record, if there is one.
    pub fn get(&mut self, kind: u16, key: &[u8]) -> Result<Option<Stored>, StoreError> {
        self.engine.get(&RecordKey::new(kind, key))
    }

    /// All records of a kind, in order of their keys.
    pub fn list(&mut self, kind: u16) -> Result<Vec<Listed>, StoreError> {
        self.engine.list(kind)
    }

    /// What the opening reported is durably acted on.
    pub fn settle(&mut self) -> Result<(), StoreError> {
        self.engine.settle()
    }

    /// Reads everything.
    pub fn check(&mut self) -> Result<CheckReport, StoreError> {
        self.engine.check()
    }

    /// The disk beneath, to plan what it does next.
    pub fn disk(&mut self) -> &mut Disk {
        self.engine.backend_mut().disk()
    }

    /// The process ends here; this is what is left.
    pub fn crash(self, crash: Crash) -> Disk {
        let mut disk = self.engine.into_disk().expect("memory has a disk");
        disk.crash(crash);
        disk
    }
}
