//! Named points at which a test ends the process, as a `kill -9` would: before and after every persist and effect.
//!
//! `FARMHAND_FAILPOINT=name` or `name:3` (the third time) aborts the process there; `name:3:wait` holds it there until it
//! reads a line, so that a test can kill something else meanwhile. The names are listed by `farmhandd --failpoints`. A point
//! costs one relaxed load where none is set.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

macro_rules! failpoints {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A named point in the farm.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Failpoint {
            $($(#[$doc])* $variant,)*
        }

        impl Failpoint {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name, as in the environment.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

failpoints! {
    /// A session was made, and is not durable yet.
    SubmitBeforePersist = "submit-before-persist",
    /// A session is durable, and nobody was told.
    SubmitAfterPersist = "submit-after-persist",
    /// A checkpoint without a point of its own is about to be written: any phase but intent, issue and verdict.
    SessionBeforePersist = "session-before-persist",
    /// Just after it was written.
    SessionAfterPersist = "session-after-persist",
    /// The program was built, and that is not recorded.
    BuildAfter = "build-after",
    /// A package is in staging, complete, and not renamed.
    InstallBeforeRename = "install-before-rename",
    /// A package is renamed, and has no completion record.
    InstallAfterRename = "install-after-rename",
    /// A grant is decided, and not durable.
    GrantBeforePersist = "grant-before-persist",
    /// A grant is durable, and not answered.
    GrantAfterPersist = "grant-after-persist",
    /// The fence is about to be raised.
    FenceBeforePersist = "fence-before-persist",
    /// The fence is raised.
    FenceAfterPersist = "fence-after-persist",
    /// A port is about to be opened, which may reset the device.
    OpenBefore = "open-before",
    /// It is open.
    OpenAfter = "open-after",
    /// A virtual board was started, and nobody has spoken to it.
    BoardStarted = "board-started",
    /// The device is about to be reset into its loader.
    LoaderBefore = "loader-before",
    /// It answers in its loader.
    LoaderAfter = "loader-after",
    /// A page was written.
    PageWritten = "page-written",
    /// All is written, nothing verified.
    WriteAfter = "write-after",
    /// All is verified.
    VerifyAfter = "verify-after",
    /// A boot image is in the device's memory.
    DownloadAfter = "download-after",
    /// A partition is about to be written or erased, and that is recorded.
    PartitionBefore = "partition-before",
    /// The device says that it is, and that is not recorded.
    PartitionAfter = "partition-after",
    /// It is recorded.
    PartitionRecorded = "partition-recorded",
    /// An epoch is about to be reserved.
    EpochBeforePersist = "epoch-before-persist",
    /// It is reserved.
    EpochAfterPersist = "epoch-after-persist",
    /// The intent is about to be written.
    IntentBeforePersist = "intent-before-persist",
    /// The intent is durable, and nothing was sent.
    IntentAfterPersist = "intent-after-persist",
    /// The handoff command is about to leave the host.
    HandoffBefore = "handoff-before",
    /// The device acknowledged it, and nothing is recorded.
    HandoffAfter = "handoff-after",
    /// The device's record of it is durable; the session's is not.
    HandoffRecorded = "handoff-recorded",
    /// `HandoffIssued` is about to be written.
    IssuedBeforePersist = "issued-before-persist",
    /// It is durable.
    IssuedAfterPersist = "issued-after-persist",
    /// The first output of the owned epoch was judged.
    ObserveFirst = "observe-first",
    /// A verdict is reached, and not durable.
    VerdictBeforePersist = "verdict-before-persist",
    /// It is durable, and the device is not released.
    VerdictAfterPersist = "verdict-after-persist",
    /// The device is about to be released.
    ReleaseBeforePersist = "release-before-persist",
    /// It is released.
    ReleaseAfterPersist = "release-after-persist",
    /// A segment of a recording is about to be written.
    RecordBefore = "record-before",
    /// It was written.
    RecordAfter = "record-after",
    /// What a build was made of is forgotten, and nothing is built.
    BuildForgotten = "build-forgotten",
    /// A compiler has made its output, which is in no cache.
    ObjectMade = "object-made",
    /// It is in the cache, and nothing tells what it is of.
    ObjectKept = "object-kept",
    /// The cache tells it.
    ObjectRemembered = "object-remembered",
    /// An old output is removed, and the one from the cache is not in its place.
    ObjectWanted = "object-wanted",
    /// It is.
    ObjectDelivered = "object-delivered",
    /// A small file of the cache or of a build is written, and has another name.
    FileUnfinished = "file-unfinished",
    /// A program is written where programs are kept, and has another name.
    ArtifactUnfinished = "artifact-unfinished",
    /// It has its own.
    ArtifactKept = "artifact-kept",
    /// What a build was made of is written down, and nobody was told that it ended.
    BuildRemembered = "build-remembered",
    /// A machine is about to be saved: all that is asked before was, and nothing is made.
    SaveChecked = "save-checked",
    /// Its snapshot's folder is made, with the program in it.
    SaveBegun = "save-begun",
    /// It is marked as one that is being saved, and is about to be paused.
    SaveMarked = "save-marked",
    /// It is paused.
    SavePaused = "save-paused",
    /// Its memory is saved, and it is paused yet.
    SaveTaken = "save-taken",
    /// It goes on, and is marked yet.
    SaveResumed = "save-resumed",
    /// It is marked no more, and its snapshot has no description.
    SaveUnmarked = "save-unmarked",
    /// All of the snapshot is on the disk, under another name.
    SaveSynced = "save-synced",
    /// It has its own name, and that is perhaps not on the disk.
    SavePublished = "save-published",
    /// A snapshot is whole, and no machine was started for it.
    RestoreVerified = "restore-verified",
    /// A machine waits for its memory.
    RestoreStarted = "restore-started",
    /// It has it, and is marked as one that is being made yet.
    RestoreFilled = "restore-filled",
    /// It is made, and nobody was told.
    RestoreDone = "restore-done",
}

struct Armed {
    at: Failpoint,
    left: AtomicU32,
    waits: bool,
}

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

fn armed() -> Option<Armed> {
    let text = std::env::var("FARMHAND_FAILPOINT").ok()?;
    let mut words = text.split(':');
    let (name, nth, then) = (words.next()?, words.next().unwrap_or("1"), words.next());
    let at = Failpoint::ALL.iter().copied().find(|point| point.name() == name)?;
    Some(Armed { at, left: AtomicU32::new(nth.parse().ok()?), waits: then == Some("wait") })
}

/// Ends the process here, or holds it, if the environment says so.
pub fn failpoint(here: Failpoint) {
    let Some(armed) = ARMED.get_or_init(armed) else { return };
    if armed.at == here && armed.left.fetch_sub(1, Ordering::SeqCst) == 1 {
        // What a test waits for; stderr is unbuffered.
        eprintln!("failpoint {}", here.name());
        if !armed.waits {
            std::process::abort();
        }
        // The end of its input lets it go on as well: whoever armed it is gone.
        let _line_or_end = std::io::stdin().read_line(&mut String::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = Failpoint::ALL.iter().map(|point| point.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Failpoint::ALL.len());
    }
}
