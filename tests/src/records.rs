//! What a farm that is not there remembers: read from a copy, so that looking changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use farmhand_records::v1::{Device, FlashProgress, Key, Lease, Phase, Schedule, Session, Verdict};
use farmhand_records::{DeviceName, Record, SessionId};
use farmhand_runtime::{load, load_all};
use farmhand_store::{RecordKey, StoreHandle};

use crate::home::Home;
use crate::trees::copy_tree;

/// All that is remembered.
#[derive(Debug, Clone, Default)]
pub struct Remembered {
    /// Sessions.
    pub sessions: BTreeMap<SessionId, Session>,
    /// Which session each key made.
    pub keys: BTreeMap<String, SessionId>,
    /// Leases, the queue, tokens.
    pub schedule: Schedule,
    /// Sessions of which the table was behind its mark: the farm takes them for ambiguous.
    pub put_back: BTreeSet<SessionId>,
    /// Devices.
    pub devices: BTreeMap<DeviceName, Device>,
    /// How far partitions are written.
    pub progress: BTreeMap<DeviceName, FlashProgress>,
}

impl Remembered {
    /// Sessions whose handoff is between intent and issued.
    #[must_use]
    pub fn intended(&self) -> usize {
        self.sessions.values().filter(|session| session.phase == Phase::HandoffIntended).count()
    }

    /// How a session has ended.
    #[must_use]
    pub fn verdict(&self, id: SessionId) -> Option<Verdict> {
        match self.sessions[&id].phase {
            Phase::Finished(verdict, _) => Some(verdict),
            _ => None,
        }
    }

    /// Who has a device.
    #[must_use]
    pub fn leases(&self) -> &[Lease] {
        &self.schedule.leases
    }
}

/// What the farm of a folder remembers. It must not run.
pub async fn remembered(home: &Home) -> Remembered {
    let copy = tempfile::tempdir().unwrap();
    let store = home.paths().store();
    if !store.exists() {
        return Remembered::default();
    }
    copy_tree(&store, copy.path()).unwrap();
    let (store, report) = StoreHandle::open(copy.path()).await.unwrap();
    // A kill between the mark and the table leaves the mark ahead, which is put back: that, and nothing else.
    let intact = !report.marks_missing && !report.marks_damaged && report.went_back.is_none();
    assert!(
        intact && report.damaged.is_empty() && report.lost.is_empty(),
        "a kill damages nothing: {report:?}"
    );
    let of_session = |key: &RecordKey| {
        let id =
            <[u8; 8]>::try_from(key.key.as_slice()).ok().filter(|_| key.kind == Session::KIND.number())?;
        Some(SessionId(u64::from_be_bytes(id)))
    };
    let all = |what: &str| panic!("a {what} that cannot be read");
    let sessions = load_all::<Session>(&store).await.unwrap();
    let sessions = sessions.into_iter().map(|found| found.unwrap_or_else(|_| all("session")));
    let keys = load_all::<Key>(&store).await.unwrap();
    let keys = keys.into_iter().map(|found| found.unwrap_or_else(|error| panic!("a key: {error:?}")));
    let devices = load_all::<Device>(&store).await.unwrap();
    let devices =
        devices.into_iter().map(|found| found.unwrap_or_else(|error| panic!("a device: {error:?}")));
    let progress = load_all::<FlashProgress>(&store).await.unwrap();
    let progress =
        progress.into_iter().map(|found| found.unwrap_or_else(|error| panic!("progress: {error:?}")));
    let remembered = Remembered {
        progress: progress.map(|progress| (progress.device.clone(), progress)).collect(),
        sessions: sessions.map(|session| (session.id, session)).collect(),
        keys: keys.map(|key| (key.key, key.session)).collect(),
        put_back: report.rolled_back.iter().filter_map(of_session).collect(),
        schedule: load::<Schedule>(&store, &Schedule::default().key()).await.unwrap().unwrap_or_default(),
        devices: devices.map(|device| (device.name.clone(), device)).collect(),
    };
    store.close().await.unwrap();
    remembered
}
