//! A Linux guest: what it is made of, and what is known of it beside its machine.
//!
//! What it is to do is in its folder before its processor runs, so that whoever adopts its machine knows it too.
//!
//! | file | what it says |
//! |---|---|
//! | `job` | the program that is run once the guest has come up; `job.giving` while it is told so, and `job.given` from then on, or from a reset: what resets itself is not given it again |
//! | `keep` | a snapshot is to be made of it once it is healthy, for those to come |
//! | `restored` | it was made of a snapshot: `held` until it is let go, then its life's number, which the agent is to acknowledge |

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use farmhand_api::{EventBody, Problem};
use farmhand_guest::{GuestImage, Parts};
use farmhand_machine::{
    Emulator, Kind, Loaded, Machine, Place, Program, Role, SnapshotError, SnapshotName, Snapshots,
};
use farmhand_messages::installer::Installed;
use tokio::sync::mpsc;

use super::super::Tools;
use crate::problems;

/// Packages of a guest, besides what emulates it.
const LINUX: &str = "linux-guest";
const QEMU_IMG: &str = "qemu-img";
/// What a restored one says of itself until it is let go.
const HELD: &str = "held";
/// What it is to run, while it is told so.
const GIVING: &str = "job.giving";

/// What is known of a guest, in its machine's folder.
#[derive(Debug, Clone)]
pub(crate) struct GuestFolder(PathBuf);

impl GuestFolder {
    pub(crate) fn of(tools: &Tools) -> Self {
        Self(tools.ctx.paths.board(&tools.config.name))
    }

    pub(crate) fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Nothing is known of a new one.
    pub(super) fn clear(&self) -> io::Result<()> {
        for name in ["job", "job.new", GIVING, "job.given", "keep", "restored"] {
            match fs::remove_file(self.0.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// It is to run this program.
    pub(super) fn set_job(&self, program: &Path) -> io::Result<()> {
        let copied = self.0.join("job.new");
        fs::copy(program, &copied)?;
        fs::rename(copied, self.0.join("job"))
    }

    /// What it is to run, if anything: from here on it may have begun.
    pub(super) fn give_job(&self) -> io::Result<Option<PathBuf>> {
        let giving = self.0.join(GIVING);
        match fs::rename(self.0.join("job"), &giving) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            // It may be there from before, for a guest that was not reset since.
            _ => Ok(Some(giving).filter(|giving| giving.exists())),
        }
    }

    /// It runs that, or has.
    pub(super) fn is_given(&self) -> io::Result<()> {
        fs::rename(self.0.join(GIVING), self.0.join("job.given"))
    }

    /// It was reset: what may have begun before that is not given to it again. What has not may be.
    pub(crate) fn was_reset(&self) {
        let _nothing_was_begun = self.is_given();
    }

    /// Whole or not at all. Not synced: no machine outlives the system.
    fn note(&self, name: &str, text: &str) -> io::Result<()> {
        let beside = self.0.join(format!("{name}.new"));
        fs::write(&beside, text)?;
        fs::rename(beside, self.0.join(name))
    }

    /// It is to be kept once it is healthy.
    pub(super) fn set_keep(&self) -> io::Result<()> {
        self.note("keep", "")
    }

    /// Whether it is to be kept.
    pub(crate) fn is_to_be_kept(&self) -> bool {
        self.0.join("keep").exists()
    }

    /// It was kept, or cannot be.
    pub(crate) fn is_kept(&self) {
        let _there_was_none = fs::remove_file(self.0.join("keep"));
    }

    /// It was made of a snapshot, and has not been let go since.
    pub(super) fn set_restored(&self) -> io::Result<()> {
        self.note("restored", HELD)
    }

    /// What the life is called that it has by that: greater than that of any life before.
    pub(super) fn set_life(&self, life: u64) -> io::Result<()> {
        self.note("restored", &life.to_string())
    }

    /// Whether it was made of a snapshot.
    pub(super) fn was_restored(&self) -> bool {
        self.0.join("restored").exists()
    }

    /// That; none where it was not restored, or is not let go yet.
    pub(super) fn life(&self) -> Option<u64> {
        fs::read_to_string(self.0.join("restored")).ok()?.parse().ok()
    }
}

impl Tools {
    /// A Linux guest of this kind, as it begins.
    pub(super) async fn guest(
        &self,
        kind: &'static Kind,
        progress: Option<&mpsc::Sender<EventBody>>,
    ) -> Result<(Emulator, Program), Box<Problem>> {
        let emulator = self.emulator(kind, progress).await?;
        let linux = self.told(progress, |install| self.installed(LINUX, install)).await?;
        let qemu_img = self.told(progress, |install| self.installed(QEMU_IMG, install)).await?;
        let (folder, name) = (self.ctx.paths.guests(), self.config.name.clone());
        let made = tokio::task::spawn_blocking(move || {
            let Installed { prefix, environment, .. } = qemu_img;
            let parts = Parts {
                linux: &linux.prefix,
                qemu_img: &prefix.join("usr/bin/qemu-img"),
                environment: &environment,
                agent: farmhand_agent_link::PROGRAM,
            };
            GuestImage::get(&parts, &folder).map_err(|error| error.to_string())
        });
        let made = made.await.unwrap_or_else(|panic| Err(panic.to_string()));
        let GuestImage { kernel, initrd, disk } =
            made.map_err(|why| Box::new(problems::no_guest(&name, &why)))?;
        let files = BTreeMap::from([(Role::Kernel, kernel), (Role::Initrd, initrd), (Role::Disk, disk)]);
        let program = Program { kind, files, name: name.to_string() };
        if kind.is_accelerated() {
            self.accelerates(&emulator, &program, progress).await?;
        }
        Ok((emulator, program))
    }

    /// The machine of a guest, held, that begins where one like it was healthy. Nothing where there was none yet, or it is of no
    /// use: that is said, and what is of no use is removed.
    pub(super) async fn healthy(
        &self,
        emulator: &Emulator,
        program: &Program,
        progress: Option<&mpsc::Sender<EventBody>>,
    ) -> Option<Loaded> {
        match self.restored(emulator, program).await {
            Ok(loaded) => loaded,
            Err(error) => {
                let text = format!(
                    "{}: it boots, for the snapshot of a healthy one is of no use: {error}",
                    self.config.name
                );
                tracing::warn!("{text}");
                if let Some(progress) = progress {
                    let _nobody_watches = progress.try_send(EventBody::Note(text));
                }
                None
            }
        }
    }

    async fn restored(
        &self,
        emulator: &Emulator,
        program: &Program,
    ) -> Result<Option<Loaded>, SnapshotError> {
        let all = Snapshots::open(&self.ctx.paths.snapshots())?;
        let cached = all.cached(emulator, program).await;
        // It goes in any case; and as long as it runs, what it was made of is in use.
        let folder = self.ctx.paths.board(&self.config.name);
        Machine::end_any(&folder).await?;
        let said = match cached {
            Ok(Some(said)) => said,
            Ok(None) => return Ok(None),
            Err(SnapshotError::Damaged { name, why }) => {
                return Err(thrown_away(&all, &name.clone(), SnapshotError::Damaged { name, why }));
            }
            Err(error) => return Err(error),
        };
        let place = Place { folder, called: program.name.clone() };
        match all.restore(&said.name, &place, emulator).await {
            Ok(loaded) => Ok(Some(loaded)),
            Err(error) => Err(thrown_away(&all, &said.name, error)),
        }
    }

    /// Ends a machine of which its folder does not say what it is to do: nobody would let it go.
    pub(super) async fn not_noted(&self, loaded: Loaded, error: &io::Error) -> Box<Problem> {
        let name = &self.config.name;
        if let Err(error) = loaded.machine.quit().await {
            tracing::warn!(device = %name, %error, "an emulated machine did not end");
        }
        Box::new(problems::no_guest_folder(name, &self.ctx.paths.board(name), error))
    }
}

/// One that is damaged, or that QEMU does not take, is removed: the next one makes it again. What else went wrong may be well the
/// next time.
fn thrown_away(all: &Snapshots, name: &SnapshotName, error: SnapshotError) -> SnapshotError {
    if error.is_of_the_snapshot()
        && let Err(error) = all.delete(name)
    {
        tracing::warn!(snapshot = %name, %error, "a damaged snapshot is not removed");
    }
    error
}
