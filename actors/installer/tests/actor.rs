//! The installer as an actor: one installation for all who ask, steps for those who watch, and its own death.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::path::PathBuf;
use std::time::Duration;

use farmhand_api::{InstallEvent, InstallStage, Problem, ProblemClass};
use farmhand_installer::{Installed, InstallerActor, InstallerArgs, PackageWish};
use farmhand_messages::{InstallerMessage, Names};
use farmhand_records::Incarnation;
use farmhand_runtime::{AskError, Chaos, ChaosRole, Ctx, Effects, Paths, ask_once};
use farmhand_store::{Disk, StoreHandle};
use ractor::Actor;
use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(60);

struct Farm {
    home: TempDir,
    ctx: Ctx,
    task: JoinHandle<()>,
}

impl Farm {
    async fn start(instance: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let ctx = Ctx {
            names: Names::new(instance),
            store: StoreHandle::open_memory(Disk::new()).await.unwrap().0,
            paths: Paths::new(home.path()),
            incarnation: Incarnation(1),
            effects: Effects::new(),
            chaos: Chaos::armable(),
        };
        let task = spawn(&ctx).await;
        Self { home, ctx, task }
    }

    fn package(&self, name: &str) -> PackageWish {
        let path: PathBuf = self.home.path().join(name);
        let mut tar = tar::Builder::new(std::fs::File::create(&path).unwrap());
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        header.set_mode(0o644);
        tar.append_data(&mut header, "file", &b"hello"[..]).unwrap();
        tar.finish().unwrap();
        PackageWish::Local { path, sha256: None }
    }
}

async fn spawn(ctx: &Ctx) -> JoinHandle<()> {
    let args = InstallerArgs { ctx: ctx.clone() };
    Actor::spawn(Some(ctx.names.installer()), InstallerActor, args).await.unwrap().1
}

type Answer = Result<Result<Installed, Problem>, AskError>;

async fn ask(name: String, wish: PackageWish, progress: Option<mpsc::Sender<InstallEvent>>) -> Answer {
    ask_once(&name, PATIENCE, |reply| InstallerMessage::Install { wish, progress, reply }).await
}

impl Farm {
    /// Keeps the package from being installed, as another process would.
    fn hold(&self, name: &str) -> std::fs::File {
        let folder = self.ctx.paths.packages().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let lock = std::fs::File::create(folder.join(".lock")).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        lock
    }
}

#[tokio::test]
async fn all_who_ask_get_the_one_installation() {
    let farm = Farm::start("one-flight").await;
    let wish = farm.package("x.tar");
    let lock = farm.hold("local-x");
    let (watch, mut steps) = mpsc::channel(100);
    let first = tokio::spawn(ask(farm.ctx.names.installer(), wish.clone(), Some(watch)));
    assert_eq!(steps.recv().await.unwrap().stage, InstallStage::Wait);
    // These join what goes on: it was not they who started it.
    let (full, mut lost) = mpsc::channel(1);
    let others = [
        tokio::spawn(ask(farm.ctx.names.installer(), wish.clone(), Some(full))),
        tokio::spawn(ask(farm.ctx.names.installer(), wish.clone(), None)),
    ];
    // Another thing is not held up, and its answer says that the two above were received.
    let other = ask(farm.ctx.names.installer(), farm.package("y.tar"), None).await.unwrap().unwrap();
    assert_eq!(other.name, "local-y");
    drop(lock);
    let installed = first.await.unwrap().unwrap().unwrap();
    for other in others {
        assert_eq!(other.await.unwrap().unwrap().unwrap(), installed);
    }
    assert!(!installed.already);
    assert!(ask(farm.ctx.names.installer(), wish, None).await.unwrap().unwrap().already);

    let mut stages = Vec::new();
    while let Some(step) = steps.recv().await {
        stages.push(step.stage);
    }
    assert_eq!(stages.last(), Some(&InstallStage::Done));
    assert_eq!(lost.recv().await.unwrap().stage, InstallStage::Fetch);
    assert!(lost.recv().await.is_none(), "what did not fit is lost");

    let name = farm.ctx.names.installer();
    let list = ask_once(&name, PATIENCE, |reply| InstallerMessage::List { reply });
    let names: Vec<_> = list.await.unwrap().into_iter().map(|package| package.name).collect();
    assert_eq!(names, ["local-x", "local-y"]);
}

#[tokio::test]
async fn a_failure_is_everybodys_and_the_next_one_tries_again() {
    let farm = Farm::start("failure").await;
    let path = farm.home.path().join("x.tar");
    let wish = PackageWish::Local { path, sha256: None };
    let problem = ask(farm.ctx.names.installer(), wish.clone(), None).await.unwrap().unwrap_err();
    assert_eq!((problem.class, &*problem.code), (ProblemClass::Usage, "F516"));
    assert_eq!(farm.package("x.tar"), wish);
    assert!(!ask(farm.ctx.names.installer(), wish, None).await.unwrap().unwrap().already);
}

/// Killed at any message, its successor does what is asked again, and nothing of the predecessor is in its way.
#[tokio::test]
async fn killed_at_any_message() {
    for nth in 1..=5 {
        let farm = Farm::start(&format!("killed-{nth}")).await;
        let wish = farm.package("x.tar");
        let (watch, _steps) = mpsc::channel(100);
        farm.ctx.chaos.arm(ChaosRole::Installer, nth);
        let answer = ask(farm.ctx.names.installer(), wish.clone(), Some(watch)).await;
        assert_eq!(answer, Err(AskError::Ended), "{nth}");
        farm.task.await.unwrap();
        assert!(farm.ctx.effects.end(PATIENCE).await);

        let ctx = Ctx { effects: Effects::new(), incarnation: Incarnation(2), ..farm.ctx.clone() };
        let _task = spawn(&ctx).await;
        let installed = ask(ctx.names.installer(), wish, None).await.unwrap().unwrap();
        assert_eq!(std::fs::read(installed.prefix.join("file")).unwrap(), b"hello");
    }
}
