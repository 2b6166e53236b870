//! A person's word to a bootloader: the device is found, claimed and asked; no session, and nothing durable.

use std::time::Duration;

use farmhand_api::{
    Answer, BootloaderCommand, DeviceState, DeviceView, Event, EventBody, EventSeq, Item, ProbeView, Problem,
    ProblemClass, ProfileView,
};
use farmhand_messages::device::DeviceError;
use farmhand_messages::fastboot::{ANY, Address, Model, Probe, Profile, UsbIdentity, Wanted};
use farmhand_messages::{DeviceMessage, DirectoryMessage};
use farmhand_records::DeviceName;
use farmhand_runtime::{ask, ask_once, unix_ms};
use tokio::sync::mpsc;

use super::{ANSWER, Api};
use crate::devices::FASTBOOT;
use crate::problems::{leased, quarantined, unanswered};
use crate::profiles::{Next, Probing, Seen};

/// The longest command is an erase of a large partition, or a file of gigabytes; the device actor has deadlines of its own.
const COMMAND: Duration = Duration::from_secs(60 * 60);
/// A dozen variables, each answered at once.
const PROBE: Duration = Duration::from_secs(5 * 60);
/// An address that nobody has named before is tried first.
const PROVIDED: Duration = Duration::from_secs(30);
/// Words that may wait to be told: more than the variables of any phone, for `getvar all` may lose none of them.
const STEPS: usize = 4096;

impl Api {
    pub(super) async fn bootloader(
        &self,
        device: Option<String>,
        project: Option<String>,
        command: BootloaderCommand,
        items: &mpsc::Sender<Item>,
    ) -> Result<Answer, Problem> {
        let found = async {
            let device = self.find_bootloader(device.as_deref(), command.only_reads()).await?;
            let model = match command.writes() {
                true => self.model(&device, project).await?,
                false => None,
            };
            Ok::<_, Problem>((device, model))
        };
        let (device, model) = tokio::select! {
            found = found => found?,
            // It has not been said.
            () = items.closed() => return Err(problem(DeviceError::Fenced)),
        };
        let (progress, mut steps) = mpsc::channel(STEPS);
        let name = self.names.device(&device);
        let asked = ask_once(&name, COMMAND, |reply| DeviceMessage::Bootloader {
            command,
            model,
            progress: Some(progress),
            reply,
        });
        tokio::pin!(asked);
        let said = loop {
            tokio::select! {
                biased;
                Some(body) = steps.recv() => tell(items, &device, body).await,
                said = &mut asked => break said,
                // Nobody hears it any more: with this the device's actor sees that the one who asked has gone.
                () = items.closed() => return Err(problem(DeviceError::Fenced)),
            }
        };
        while let Ok(body) = steps.try_recv() {
            tell(items, &device, body).await;
        }
        said.map_err(|error| unanswered("device", error))?.map(Answer::Said).map_err(problem)
    }

    pub(super) async fn profiles(&self, project: Option<String>) -> Result<Answer, Problem> {
        let (profiles, wrong) = self.all_profiles(project).await?;
        Ok(Answer::Profiles(profiles.iter().map(view).collect(), wrong))
    }

    pub(super) async fn probe(
        &self,
        device: Option<String>,
        project: Option<String>,
    ) -> Result<Answer, Problem> {
        let device = self.find_bootloader(device.as_deref(), true).await?;
        let (profiles, _wrong) = self.all_profiles(project).await?;
        let shown = ask(self.names.directory(), ANSWER, |reply| DirectoryMessage::Shown {
            device: device.clone(),
            reply,
        });
        let shown = shown.await.map_err(|error| unanswered("directory", error))?;
        let usb = shown.usb.into_iter().next();
        let seen = Seen { usb, serial: shown.serial, port_path: shown.port_path };
        let mut probing = Probing::new(profiles.iter(), &seen);
        let mut view = ProbeView::default();
        loop {
            match probing.next() {
                Next::Ask(variable) => {
                    let names = vec![variable];
                    let asked = ask(self.names.device(&device), PROBE, |reply| DeviceMessage::GetVars {
                        names: names.clone(),
                        reply,
                    });
                    let answers =
                        asked.await.map_err(|error| unanswered("device", error))?.map_err(problem)?;
                    for (name, answer) in answers {
                        probing.answer(&name, answer.clone());
                        view.asked.push((name, answer));
                    }
                }
                Next::Done(Ok(found)) => {
                    view.fits = found.into_iter().map(|profile| profile.id).collect();
                    return Ok(Answer::Probed(Box::new(view)));
                }
                Next::Done(Err(ambiguous)) => {
                    let help = ambiguous.profiles.iter().map(|id| format!("--profile {id}")).collect();
                    return Err(no_device("F209", format!("{device}: {ambiguous}"), help));
                }
            }
        }
    }

    /// All profiles, those of a project among them; and what is wrong with others.
    async fn all_profiles(&self, project: Option<String>) -> Result<(Vec<Profile>, Vec<Problem>), Problem> {
        let project = || project.clone();
        let read = |reply| DirectoryMessage::Profiles { project: project(), reply };
        ask(self.names.directory(), ANSWER, read).await.map_err(|error| unanswered("directory", error))
    }

    /// The model that a device must be of before anything is written to it: that of its board.
    async fn model(&self, device: &DeviceName, project: Option<String>) -> Result<Option<Model>, Problem> {
        let devices = self.devices().await?;
        let view = devices.into_iter().find(|view| view.name.as_ref() == Some(device));
        let board = view.map_or_else(|| ANY.to_owned(), |view| view.board);
        let read =
            |reply| DirectoryMessage::Profile { board: board.clone(), project: project.clone(), reply };
        let read = ask(self.names.directory(), ANSWER, read).await;
        let profile = read.map_err(|error| unanswered("directory", error))??;
        Ok(profile.map(|profile| profile.model()))
    }

    /// The device that is meant: by its name, its serial number, its place or its address; or the only one there is.
    /// One that is set aside is as somebody has to find it: it may be read, and nothing else.
    async fn find_bootloader(&self, wanted: Option<&str>, only_reads: bool) -> Result<DeviceName, Problem> {
        let device = match self.known_bootloader(wanted).await? {
            Some(device) => device,
            None => {
                let provided = ask(self.names.directory(), PROVIDED, |reply| DirectoryMessage::Provide {
                    board: ANY.into(),
                    port: wanted.map(str::to_owned),
                    bootloader: Some(UsbIdentity::default()),
                    reply,
                });
                provided.await.map_err(|error| unanswered("directory", error))??;
                self.known_bootloader(wanted).await?.ok_or_else(none)?
            }
        };
        let devices = self.devices().await?;
        match devices.into_iter().find(|view| view.name.as_ref() == Some(&device)) {
            Some(DeviceView { state: DeviceState::Leased, holder: Some(session), .. }) => {
                return Err(leased(&device, session));
            }
            Some(DeviceView { state: DeviceState::Quarantined, holder, note, .. }) if !only_reads => {
                return Err(quarantined(&device, holder, note.into_iter().collect()));
            }
            _ => {}
        }
        self.claim(&device).await?;
        Ok(device)
    }

    /// Among those that are known. None: none of them is it, or it is one that nobody has claimed yet.
    async fn known_bootloader(&self, wanted: Option<&str>) -> Result<Option<DeviceName>, Problem> {
        let devices = self.devices().await?;
        let bootloaders: Vec<_> = devices.into_iter().filter(|device| device.driver == FASTBOOT).collect();
        let mut found: Vec<_> = bootloaders.iter().filter(|device| is_it(device, wanted)).collect();
        if found.is_empty() && wanted.is_none() {
            // What did not answer last over a network may do so now: only who tries knows.
            found = bootloaders.iter().filter(|device| is_over_network(device)).collect();
        }
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(one.name.clone()),
            several => {
                let place = |view: &DeviceView| {
                    let name = view.name.as_ref().map(ToString::to_string);
                    name.or_else(|| view.port.clone()).unwrap_or_default()
                };
                let help = several.iter().map(|view| format!("this one: --device {}", place(view))).collect();
                let message = match wanted {
                    None => format!("{} devices speak fastboot; none is chosen for you", several.len()),
                    Some(wanted) => format!("{} devices are {wanted}; none is chosen for you", several.len()),
                };
                Err(no_device("F206", message, help))
            }
        }
    }
}

fn is_over_network(device: &DeviceView) -> bool {
    let address = device.port.as_ref().and_then(|port| port.parse().ok());
    matches!(address, Some(Address::Tcp(_) | Address::Udp(_)))
}

/// By its name, its serial number, or where it is; none: any that is there.
fn is_it(device: &DeviceView, wanted: Option<&str>) -> bool {
    let Some(wanted) = wanted else { return device.state != DeviceState::Absent };
    let port = device.port.as_deref().unwrap_or_default();
    device.name.as_ref().is_some_and(|name| name.as_str() == wanted)
        || device.serial.as_deref() == Some(wanted)
        || port == wanted
        || port.strip_prefix("usb:") == Some(wanted)
        || wanted.strip_prefix("usb:") == Some(port)
}

pub(super) async fn tell(items: &mpsc::Sender<Item>, device: &DeviceName, body: EventBody) {
    let event = Event {
        // Of no history: it is told to who asked, and to nobody else.
        seq: EventSeq::default(),
        unix_ms: unix_ms(),
        session: None,
        device: Some(device.clone()),
        body,
    };
    let _reader_gone = items.send(Item::Event(Box::new(event))).await;
}

pub(super) fn problem(error: DeviceError) -> Problem {
    match error {
        DeviceError::NotBegun(problem) | DeviceError::Failed(problem) => *problem,
        other => Problem {
            class: ProblemClass::Infra,
            code: "F247".into(),
            message: other.to_string(),
            detail: Vec::new(),
            help: Vec::new(),
            place: None,
        },
    }
}

fn none() -> Problem {
    no_device(
        "F208",
        "no device is there that speaks fastboot".into(),
        vec![
            "is it in its bootloader? most phones: volume down while it starts".into(),
            "over a network: --device tcp:HOST".into(),
            "farmhand sim fastboot --tcp 127.0.0.1:5554 gives you one to try".into(),
        ],
    )
}

fn no_device(code: &str, message: String, help: Vec<String>) -> Problem {
    Problem {
        class: ProblemClass::NoDevice,
        code: code.into(),
        message,
        detail: Vec::new(),
        help,
        place: None,
    }
}

fn view(profile: &Profile) -> ProfileView {
    let probe = |probe: &Probe| match &probe.wanted {
        Wanted::Equals(is) => format!("{} = {is}", probe.getvar),
        Wanted::StartsWith(begins) => format!("{} = {begins}...", probe.getvar),
        Wanted::NotEquals(not) => format!("{} is not {not}", probe.getvar),
        Wanted::Exists => format!("{} exists", probe.getvar),
        Wanted::NotExists => format!("{} does not exist", probe.getvar),
    };
    let boot = &profile.boot;
    ProfileView {
        id: profile.id.clone(),
        title: profile.title.clone(),
        origin: profile.origin.clone(),
        usb: profile.identity.usb.clone(),
        probes: profile.probes.iter().map(probe).collect(),
        boot: format!(
            "header v{}, pages of {} B, base {:#x}, kernel +{:#x}, ramdisk +{:#x}",
            boot.layout.header_version,
            boot.layout.page_bytes,
            boot.layout.base,
            boot.layout.kernel_offset,
            boot.layout.ramdisk_offset
        ),
    }
}
