//! The console of a phone is a line apart: a pseudo terminal, on which it talks once it runs.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use farmhand_api::{Job, Verdict};
use farmhand_tests::{Over, TestPhone, boot_and_watch};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::bench::{BOTH, Bench, options};

/// A profile of whatever has a product; it tells what its console says.
const TALKER: &str = "[[probe]]\ngetvar = \"product\"\nexists = true\n[next]\nbanner = \"Booting Linux\"\n";

/// A line with somebody at its other end.
pub(crate) struct Line {
    other_end: File,
    pub(crate) path: PathBuf,
    /// Open all the time: what is said before the farm opens it waits in it.
    _held: File,
}

impl Line {
    pub(crate) fn new() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = PathBuf::from(ptsname(&master, Vec::new()).unwrap().into_string().unwrap());
        let held = File::options().read(true).write(true).open(&path).unwrap();
        Self { other_end: master.into(), path, _held: held }
    }

    fn says(&mut self, words: &str) {
        self.other_end.write_all(words.as_bytes()).unwrap();
    }

    fn entry(&self, phone: &TestPhone) -> String {
        let at = Path::new(&self.path).display();
        phone.entry(&format!("allow = [\"boot\"]\nconsole = {{ port = \"{at}\" }}\n"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_says_once_it_runs_earns_the_verdict() {
    for over in BOTH {
        let phone = TestPhone::start("phone-1", over, options()).await;
        let mut line = Line::new();
        let bench = Bench::of(&[line.entry(&phone)]).await;
        let job = boot_and_watch(&bench.image(1), "phone-1", "login: $", None);
        let says = async {
            phone.boots().await;
            line.says("[    0.000000] Booting Linux\r\nfajita login: ");
        };
        let (view, ()) = tokio::join!(bench.passes("boot", &job), says);
        assert!(view.epoch.is_some());
        assert_eq!(phone.counters().await.boot_commands, 1);
        bench.stop().await;
    }
}

/// The same words, said while the bootloader was there: they are of no epoch of the session's.
///
/// Guard: the epoch begins before `boot` leaves, in `BootloaderStay::leave`.
#[tokio::test(flavor = "multi_thread")]
async fn what_it_said_before_earns_nothing() {
    for over in BOTH {
        let phone = TestPhone::start("phone-1", over, options()).await;
        let mut line = Line::new();
        let bench = Bench::of(&[line.entry(&phone)]).await;
        line.says("fajita login: \r\n");
        // So long is the download that it is said in the middle of it, too.
        phone.fault("slow 1M").await;
        let job = boot_and_watch(&bench.image(1), "phone-1", "login: $", Some(1500));
        let says = async {
            let half = async || (phone.counters().await.download_bytes > 300_000).then_some(());
            farmhand_tests::until("the image is half sent", half).await;
            line.says("fajita login: \r\n");
            phone.boots().await;
            line.says("[    0.000000] Booting Linux\r\n");
        };
        let (problem, ()) = tokio::join!(bench.fails("boot", &job, Verdict::Failed, "F101"), says);
        assert!(problem.message.contains("login:"), "{problem:?}");
        bench.stop().await;
    }
}

/// Its answer to `boot` is lost, and nothing tells over a network that its bootloader was left: what it says once it runs,
/// by its profile, proves that it was.
///
/// Guard: the epoch's own handoff, in `Tools::has_said`; without a banner this is `unknown` (`doubt.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn what_it_says_is_evidence_where_its_answer_was_lost() {
    let phone = TestPhone::start("phone-1", Over::Tcp, options()).await;
    let mut line = Line::new();
    let at = line.path.display();
    let more = format!("allow = [\"boot\"]\nconsole = {{ port = \"{at}\" }}\n");
    let bench = Bench::of(&[phone.entry_as("talker", "", &more)]).await;
    let profiles = bench.folder().join("profiles");
    std::fs::create_dir(&profiles).unwrap();
    std::fs::write(profiles.join("talker.toml"), TALKER).unwrap();
    let job = boot_and_watch(&bench.image(1), "phone-1", "login: $", None);
    let project = bench.folder().display().to_string();
    let job = Job { board: "talker".into(), project, ..job };
    phone.fault("boot-unanswered").await;
    let says = async {
        phone.boots().await;
        line.says("[    0.000000] Booting Linux\r\nfajita login: ");
    };
    let (_, ()) = tokio::join!(bench.passes("boot", &job), says);
    assert_eq!(phone.counters().await.boot_commands, 1);
    bench.stop().await;
}
