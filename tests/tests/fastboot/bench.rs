//! A farm within the test, with phones.

use std::path::{Path, PathBuf};

use farmhand::FarmConfig;
use farmhand::config::read_devices;
use farmhand::transport::Client;
use farmhand_api::{
    Answer, BootloaderCommand, DeviceState, DeviceView, Job, Problem, Request, SessionId, SessionView,
    Settle, Verdict,
};
use farmhand_sim::fastboot::{PartitionSpec, PhoneOptions};
use farmhand_tests::{
    Followed, Home, InProcess, Over, TestPhone, at_work, boot_image, devices, follow, follow_after, put_file,
    submit, until,
};

pub(crate) const BOTH: [Over; 2] = [Over::Tcp, Over::Udp];
/// Of the kernels that are booted here, in bytes: several packets of UDP, several reads of a file.
pub(crate) const KERNEL_BYTES: usize = 700_000;
/// What these phones take at once, in bytes.
pub(crate) const MOST: u32 = 1 << 20;

/// A small phone.
pub(crate) fn options() -> PhoneOptions {
    PhoneOptions {
        serial: "c0ffee".into(),
        max_download: MOST,
        partitions: vec![
            PartitionSpec::new("misc", 1 << 20),
            PartitionSpec::new("userdata", 8 << 20),
            PartitionSpec { slotted: true, ..PartitionSpec::new("boot", 4 << 20) },
        ],
        ..PhoneOptions::default()
    }
}

/// A farm of phones.
pub(crate) struct Bench {
    home: Home,
    farm: InProcess,
    pub(crate) client: Client,
}

impl Bench {
    /// Of these entries.
    pub(crate) async fn of(entries: &[String]) -> Self {
        let home = Home::empty();
        home.configure(&entries.concat());
        let devices = read_devices(&home.path().join("farm.toml")).unwrap().unwrap();
        let farm = InProcess::start(FarmConfig { devices, ..FarmConfig::new(home.path()) }).await;
        let client = farm.client().await;
        Self { home, farm, client }
    }

    /// Of one phone, which may be booted, written and erased.
    pub(crate) async fn one(over: Over) -> (Self, TestPhone) {
        let phone = TestPhone::start("phone-1", over, options()).await;
        let bench = Self::of(&[phone.entry("allow = [\"boot\", \"flash\", \"erase\"]")]).await;
        (bench, phone)
    }

    /// Another front end.
    pub(crate) async fn another(&self) -> Client {
        self.farm.client().await
    }

    pub(crate) fn folder(&self) -> &Path {
        self.home.path()
    }

    /// A boot image, as a file.
    pub(crate) fn image(&self, seed: u64) -> PathBuf {
        put_file(self.folder(), &format!("boot-{seed}.img"), &boot_image(seed, KERNEL_BYTES))
    }

    /// A session to its end, and until its device is given back.
    pub(crate) async fn run(&self, key: &str, job: &Job) -> SessionView {
        let id = submit(&self.client, key, job).await.unwrap();
        let followed = follow(&self.client, id).await.unwrap();
        self.at_rest().await;
        followed.view
    }

    /// A session that passes.
    pub(crate) async fn passes(&self, key: &str, job: &Job) -> SessionView {
        let view = self.run(key, job).await;
        assert_eq!(view.verdict, Some(Verdict::Passed), "{key}: {:?}", view.problem);
        view
    }

    /// A session that does not pass, and why; all devices are given back.
    pub(crate) async fn fails(&self, key: &str, job: &Job, verdict: Verdict, code: &str) -> Problem {
        let problem = self.end(key, job, verdict, code).await;
        self.at_rest().await;
        problem
    }

    /// The end of a session that does not pass, and why.
    pub(crate) async fn end(&self, key: &str, job: &Job, verdict: Verdict, code: &str) -> Problem {
        let id = submit(&self.client, key, job).await.unwrap();
        let view = follow(&self.client, id).await.unwrap().view;
        let problem = view.problem.unwrap_or_else(|| panic!("{key}: no problem, {:?}", view.verdict));
        assert_eq!((view.verdict, problem.code.as_str()), (Some(verdict), code), "{key}: {problem:?}");
        problem
    }

    pub(crate) async fn view(&self, id: SessionId) -> SessionView {
        match self.client.ask(Request::Session(id)).await.unwrap() {
            Answer::Session(view) => *view,
            other => panic!("{other:?}"),
        }
    }

    /// A person's word to the only phone.
    pub(crate) async fn word(&self, command: BootloaderCommand) -> Result<Answer, Problem> {
        let asked = Request::Bootloader { device: Some("phone-1".into()), project: None, command };
        self.client.ask(asked).await.map_err(Problem::from)
    }

    /// What a person says of a session that cannot be proven; its end.
    pub(crate) async fn settle(&self, id: SessionId, settle: Settle) -> SessionView {
        let before: Followed = follow(&self.client, id).await.unwrap();
        let answer = self.client.ask(Request::Resume { session: id, settle: Some(settle) }).await;
        assert!(matches!(answer, Ok(Answer::Session(_))), "{answer:?}");
        let last = before.events.last().map(|event| event.seq);
        let view = follow_after(&self.client, id, last).await.unwrap().view;
        self.at_rest().await;
        view
    }

    async fn at_rest(&self) {
        let at_rest = async || (at_work(&self.client).await.unwrap() == 0).then_some(());
        until("all devices are given back", at_rest).await;
    }

    pub(crate) async fn device(&self, name: &str) -> DeviceView {
        let all = devices(&self.client).await.unwrap();
        let is_it = |device: &DeviceView| device.name.as_ref().is_some_and(|known| known.as_str() == name);
        all.into_iter().find(is_it).unwrap()
    }

    /// Nobody has it, and it is not set aside. One that has booted does not answer any more, and is seen to be away.
    pub(crate) async fn is_free(&self, name: &str) {
        let device = self.device(name).await;
        assert!(matches!(device.state, DeviceState::Free | DeviceState::Absent), "{device:?}");
    }

    pub(crate) async fn stop(self) {
        self.farm.stop().await;
    }
}
