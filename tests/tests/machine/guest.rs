//! A Linux guest without a farm: its machine, its agent, and letters that its memory and its disk agree on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use farmhand_agent_link::{AgentLink, Command, How};
use farmhand_guest::{GuestImage, Parts};
use farmhand_machine::{Kind, Loaded, Machine, Place, Program, Role, SnapshotError};
use farmhand_tests::{Home, LONG, package};

use super::shelf::{Shelf, name};
use super::{Bench, or_hang};

/// Counts in memory and on the disk, and says the letter of that number, from `a` on; or what does not agree.
const LETTER: &str = r#"sync; echo 3 > /proc/sys/vm/drop_caches
n=$(cat /run/n 2>/dev/null || echo 0); on_disk=$(cat /data/n 2>/dev/null || echo 0)
[ $n = $on_disk ] || echo "$n in memory and $on_disk on the disk: "
n=$((n + 1)); echo $n > /run/n; echo $n > /data/n; sync
printf "\\$(printf %o $((96 + n)))""#;
/// What a command says at most.
const SAID_MAX: usize = 1 << 20;

fn kind() -> &'static Kind {
    Kind::named("linux-x86_64").unwrap()
}

pub(crate) async fn bench() -> Bench {
    Bench::of(kind()).await
}

pub(crate) async fn image(home: &Home) -> GuestImage {
    let (linux, qemu_img) = (package(home, "linux-guest").await, package(home, "qemu-img").await);
    let parts = Parts {
        linux: &linux.prefix,
        qemu_img: &qemu_img.prefix.join("usr/bin/qemu-img"),
        environment: &qemu_img.environment,
        agent: farmhand_agent_link::PROGRAM,
    };
    GuestImage::get(&parts, &home.path().join("guests")).unwrap()
}

pub(crate) fn program(image: &GuestImage, name: &str) -> Program {
    let GuestImage { kernel, initrd, disk } = image.clone();
    let files = BTreeMap::from([(Role::Kernel, kernel), (Role::Initrd, initrd), (Role::Disk, disk)]);
    Program { kind: kind(), files, name: name.into() }
}

/// The folder that a machine runs in.
pub(crate) fn folder_of(machine: &Machine) -> PathBuf {
    std::fs::read_link(format!("/proc/{}/cwd", machine.process().pid)).unwrap()
}

/// Where its agent is reached, where it is a Linux guest.
pub(crate) fn agent_of(machine: &Machine) -> Option<PathBuf> {
    Some(Machine::agent(&folder_of(machine))).filter(|agent| agent.exists())
}

/// The line to a guest's agent, once that has come up.
pub(crate) async fn linked(machine: &Machine) -> AgentLink {
    link_to(&agent_of(machine).expect("it is a Linux guest")).await
}

async fn link_to(agent: &Path) -> AgentLink {
    AgentLink::connect(agent, LONG).await.unwrap().0
}

pub(crate) fn shell(script: &str) -> Command {
    Command { argv: ["sh", "-c", script].map(str::to_owned).to_vec(), ..Command::default() }
}

/// What a script says, both streams, where it ends well.
pub(crate) async fn sh(link: &AgentLink, script: &str) -> String {
    let said = async { link.run(shell(script)).await?.collect(SAID_MAX).await };
    let (out, err, how) = or_hang("a command ends", said).await.unwrap();
    let said = String::from_utf8([out, err].concat()).unwrap();
    assert_eq!(how, How::Exit(0), "{script}: {said}");
    said
}

pub(crate) async fn letter(agent: &Path, wanted: &str) {
    assert_eq!(sh(&link_to(agent).await, LETTER).await, wanted);
}

impl Shelf {
    /// Makes a machine of it there, and lets it go on.
    pub(crate) async fn again_in(&self, place: &Place, of: &str) -> Result<Machine, SnapshotError> {
        let of = name(of);
        let restored = self.all.restore(&of, place, &self.bench.emulator);
        let Loaded { machine, .. } = or_hang("it is restored", restored).await?;
        machine.go().await.unwrap();
        Ok(machine)
    }
}
