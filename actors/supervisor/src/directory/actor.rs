//! The shell of the directory.

use std::path::Path;
use std::time::Duration;

use farmhand_api::{EventBody, Problem};
use farmhand_device::fastboot;
use farmhand_messages::device::DeviceConfig;
use farmhand_messages::fastboot::UsbIdentity;
use farmhand_messages::scheduler::Offer;
use farmhand_messages::{DeviceMessage, DirectoryMessage, SchedulerMessage};
use farmhand_records::v1::{Claim, DeviceSelect, FlashProgress, Phase, Schedule, Session};
use farmhand_records::{DeviceName, Record};
use farmhand_runtime::{ChaosRole, Ctx, ask, forget, load, load_all, save, tell, unix_ms};
use farmhand_store::Durability;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use super::state::{State, simulated};
use super::watch::{udev_runs, watch};
use crate::devices::{DeviceEntry, machine_of};
use crate::facts::{board_facts, board_facts_here};
use crate::farm::FarmMessage;
use crate::plugged::plugged_in;
use crate::problems::{no_device, no_port, nobody_answers, store_problem, unanswered};
use crate::profiles::{Folders, Profiles};

/// How often we look what is plugged in where nobody tells: a person who plugs a board in sees it within a second.
const LOOK: Duration = Duration::from_secs(1);
/// Where udev tells of it: for serial ports that are not on USB, and for what was missed.
const LOOK_ALL_THE_SAME: Duration = Duration::from_secs(10);
/// Starting the two actors of a device.
const ENSURE: Duration = Duration::from_secs(30);

/// What the directory is given.
pub(crate) struct DirectoryArgs {
    pub(crate) ctx: Ctx,
    /// As configured.
    pub(crate) entries: Vec<DeviceEntry>,
    /// Whether virtual devices are made.
    pub(crate) virtual_devices: bool,
    /// Devices that have actors already: those of a predecessor.
    pub(crate) known: Vec<DeviceConfig>,
    /// Where device profiles are.
    pub(crate) profiles: Folders,
}

/// Who is plugged in.
pub(crate) struct DirectoryActor;

pub(crate) struct Shell {
    ctx: Ctx,
    state: State,
    told: Option<Vec<Offer>>,
    profiles: Folders,
}

impl Shell {
    fn also(&self, device: &DeviceName) -> Vec<DeviceName> {
        self.state.entry(device).map(|entry| self.state.also(entry)).unwrap_or_default()
    }

    /// Tells the scheduler what there is, and everybody what came and went.
    fn tell(&mut self) {
        let offers = self.state.offers(|path| Path::new(path).exists());
        for offer in &offers {
            let was = self.told.iter().flatten().find(|told| told.device == offer.device);
            if was.is_some_and(|was| was.is_seen() != offer.is_seen()) {
                self.ctx.event(None, Some(&offer.device), EventBody::Presence { present: offer.is_seen() });
            }
        }
        self.told = Some(offers.clone());
        tell(&self.ctx.names.scheduler(), SchedulerMessage::Offers(offers));
    }

    /// Has actors for these devices, then answers: an error where there are none for any of them. The scheduler knows
    /// them by then: it was told before.
    fn ensure(
        &mut self,
        myself: &ActorRef<DirectoryMessage>,
        entries: Vec<DeviceEntry>,
        reply: RpcReplyPort<Result<(), Problem>>,
    ) {
        let configs: Vec<_> = entries.iter().filter_map(|entry| self.state.config(entry)).collect();
        self.state.ensured(&configs);
        let names = self.ctx.names.clone();
        self.ctx.effects.spawn(myself, async move {
            let mut outcomes = Vec::new();
            for config in configs {
                let ensured = ask(names.farm(), ENSURE, |reply| FarmMessage::Ensure {
                    config: Box::new(config.clone()),
                    reply,
                });
                let outcome = ensured.await.unwrap_or_else(|error| Err(unanswered("farm", error)));
                if let Err(problem) = &outcome {
                    tracing::warn!(device = %config.name, why = %problem.message, "not there");
                }
                outcomes.push(outcome);
            }
            let _gone = reply.send(any(outcomes));
            DirectoryMessage::Look
        });
    }

    /// What came back at another port is opened there: it was recorded before, and goes on being so.
    fn follow(&mut self, myself: &ActorRef<DirectoryMessage>) {
        for entry in self.state.moved() {
            let Some(config) = self.state.config(&entry) else { continue };
            let (names, device) = (self.ctx.names.clone(), entry.name);
            self.ctx.effects.spawn(myself, async move {
                let ensured = ask(names.farm(), ENSURE, |reply| FarmMessage::Ensure {
                    config: Box::new(config.clone()),
                    reply,
                });
                let opened = match ensured.await {
                    Ok(Ok(())) => {
                        let open = |reply| DeviceMessage::OpenConsole { baud: None, reply };
                        ask(names.device(&device), ENSURE, open).await.map(|opened| opened.err())
                    }
                    Ok(Err(problem)) => {
                        tracing::warn!(%device, why = %problem.message, "not followed");
                        Ok(None)
                    }
                    Err(error) => Err(error),
                };
                match opened {
                    Ok(None) => {}
                    Ok(Some(error)) => tracing::warn!(%device, %error, "opened where it came back"),
                    Err(error) => tracing::warn!(%device, %error, "opened where it came back"),
                }
                DirectoryMessage::Look
            });
        }
    }

    /// Reads all profiles anew, those of a project among them: for whoever asked. Of a project nothing is kept: what it says of
    /// a model is said of its own jobs.
    fn read_profiles(
        &self,
        myself: &ActorRef<DirectoryMessage>,
        project: Option<String>,
        answer: impl FnOnce(&Profiles) + Send + 'static,
    ) {
        let folders = self.profiles.clone();
        self.ctx.effects.spawn_blocking(myself, move || {
            let ours = Profiles::load(&folders);
            let mut all = ours.clone();
            if let Some(project) = Folders::of(project.as_deref().map(Path::new), |_| None).project {
                all.add_folder(&project);
            }
            answer(&all);
            DirectoryMessage::ProfilesRead(ours.all().cloned().collect())
        });
    }

    /// Claims a bootloader. What is claimed is durable before anybody can have it: a session that gets it finds it again
    /// after the farm has died, by this name and at this place.
    async fn provide_bootloader(
        &mut self,
        board: &str,
        at: Option<&str>,
        shows: &UsbIdentity,
    ) -> Result<(), Problem> {
        let before = self.state.entries.len();
        self.state.provide_bootloader(board, at, shows)?;
        for claim in self.state.claims_since(before) {
            let saved = save(&self.ctx.store, &claim, self.ctx.incarnation, Durability::Durable).await;
            if let Err(error) = saved {
                self.state.entries.truncate(before);
                return Err(store_problem(error.into()));
            }
        }
        Ok(())
    }

    async fn provide_tried(
        &mut self,
        myself: &ActorRef<DirectoryMessage>,
        (board, port): (&str, Option<&str>),
        shows: &UsbIdentity,
        reply: RpcReplyPort<Result<(), Problem>>,
    ) {
        if let Err(problem) = self.provide_bootloader(board, port, shows).await {
            let _gone = reply.send(Err(problem));
            return;
        }
        self.tell();
        self.ensure(myself, self.state.of_board(board), reply);
    }

    async fn provide_phone(
        &mut self,
        myself: &ActorRef<DirectoryMessage>,
        (board, port): (String, Option<String>),
        bootloader: UsbIdentity,
        reply: RpcReplyPort<Result<(), Problem>>,
    ) {
        if let (Some(address), Some(port)) = (self.state.untried(port.as_deref()), &port) {
            let port = port.clone();
            self.ctx.effects.spawn(myself, async move {
                let answered = fastboot::connect(&address, &UsbIdentity::default()).await;
                let answered = answered.map(drop).map_err(|error| nobody_answers(&port, &error.to_string()));
                DirectoryMessage::Tried { board, port, bootloader, answered, reply }
            });
            return;
        }
        self.provide_tried(myself, (&board, port.as_deref()), &bootloader, reply).await;
    }

    async fn provide(
        &mut self,
        myself: &ActorRef<DirectoryMessage>,
        board: String,
        port: Option<String>,
        reply: RpcReplyPort<Result<(), Problem>>,
    ) {
        if self.state.is_of_bootloaders(&board) {
            // It takes no programs, and says so in its own words.
            self.tell();
            return self.ensure(myself, self.state.of_board(&board), reply);
        }
        if machine_of(&board).is_none() && self.state.facts(&board).is_none() {
            // Learnt from the board's own package, once; then this wish is looked at again.
            let names = self.ctx.names.clone();
            self.ctx.effects.spawn(myself, async move {
                match board_facts(&names, &board).await {
                    Ok(facts) => DirectoryMessage::Learnt { board, port, facts: Box::new(facts), reply },
                    Err(problem) => {
                        let _gone = reply.send(Err(problem));
                        DirectoryMessage::Look
                    }
                }
            });
            return;
        }
        if let Some(port) = port.as_deref().filter(|port| !Path::new(port).exists()) {
            let _gone = reply.send(Err(no_port(port)));
            return;
        }
        if self.state.lacks(&board, port.as_deref())
            && let Err(problem) = self.state.provide(&board, port.as_deref())
        {
            let _gone = reply.send(Err(problem));
            return;
        }
        self.tell();
        self.ensure(myself, self.state.of_board(&board), reply);
    }

    fn claim(
        &mut self,
        myself: &ActorRef<DirectoryMessage>,
        device: &DeviceName,
        reply: RpcReplyPort<Result<(), Problem>>,
    ) {
        match self.state.entry(device).cloned() {
            Some(entry)
                if entry.is_fastboot()
                    || entry.is_machine()
                    || self.state.facts_to_configure(&entry.board).is_some() =>
            {
                self.ensure(myself, vec![entry], reply);
            }
            Some(entry) => {
                // Who wants to read a console does not wait for a toolchain: what is here has to do.
                let (packages, device) = (self.ctx.paths.packages(), device.clone());
                self.ctx.effects.spawn_blocking(myself, move || {
                    let facts = board_facts_here(&packages, &entry.board).map(Box::new);
                    DirectoryMessage::Known { device, facts, reply }
                });
            }
            None => {
                let _gone = reply.send(Err(no_device(device.as_str(), &self.state.names())));
            }
        }
    }
}

/// Claims of devices that somebody has, or wants, or that are set aside. Others are forgotten: who asks for them claims
/// them again.
async fn claims(ctx: &Ctx, state: &State) -> Result<Vec<Claim>, ActorProcessingErr> {
    let all = load_all::<Claim>(&ctx.store).await?;
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let schedule = load::<Schedule>(&ctx.store, &Schedule::default().key()).await?.unwrap_or_default();
    let sessions: Vec<_> = load_all::<Session>(&ctx.store).await?.into_iter().flatten().collect();
    let named = |session: &Session, device: &DeviceName| matches!(&session.job.device, DeviceSelect::Named(name) if name == device);
    let needed = |device: &DeviceName| {
        state.entry(device).is_some()
            || schedule.leases.iter().any(|lease| lease.device == *device)
            || schedule.tokens.iter().any(|token| token.device == *device && token.quarantine.is_some())
            || sessions.iter().filter(|session| !matches!(session.phase, Phase::Finished(..))).any(
                |session| {
                    named(session, device)
                        || session.lease.as_ref().is_some_and(|lease| lease.device == *device)
                },
            )
    };
    let mut kept = Vec::new();
    for claim in all {
        match claim {
            Ok(claim) if needed(&claim.device) => kept.push(claim),
            Ok(claim) => forget::<Claim>(&ctx.store, &claim.key(), Durability::Progress).await?,
            Err((key, error)) => {
                let device = String::from_utf8_lossy(&key);
                tracing::warn!(%device, %error, "how it is found cannot be read");
            }
        }
    }
    Ok(kept)
}

/// Whom those sessions reached that have a device. What an older one reached may be another by now.
async fn met(ctx: &Ctx) -> Result<Vec<FlashProgress>, ActorProcessingErr> {
    let schedule = load::<Schedule>(&ctx.store, &Schedule::default().key()).await?.unwrap_or_default();
    let all = load_all::<FlashProgress>(&ctx.store).await?.into_iter().flatten();
    let is_had = |met: &FlashProgress| schedule.leases.iter().any(|lease| lease.session == met.session);
    Ok(all.filter(is_had).collect())
}

/// Well where any went well, or there was none; or else why the first did not.
fn any(outcomes: Vec<Result<(), Problem>>) -> Result<(), Problem> {
    if outcomes.iter().any(Result::is_ok) { Ok(()) } else { outcomes.into_iter().next().unwrap_or(Ok(())) }
}

#[ractor::async_trait]
impl Actor for DirectoryActor {
    type Msg = DirectoryMessage;
    type State = Shell;
    type Arguments = DirectoryArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<DirectoryMessage>,
        args: DirectoryArgs,
    ) -> Result<Shell, ActorProcessingErr> {
        let mut state = State::new(args.entries, args.virtual_devices);
        state.remember(&args.known);
        let claims = claims(&args.ctx, &state).await?;
        state.restore(claims);
        for FlashProgress { device, at, .. } in met(&args.ctx).await? {
            state.met(device, at);
        }
        // One that an earlier start made is there still: it keeps its flash, and its console can be read.
        if args.virtual_devices && args.ctx.paths.board(&simulated()).exists() {
            state.add_simulated();
        }
        let folders = args.profiles.clone();
        let read = tokio::task::spawn_blocking(move || Profiles::load(&folders)).await;
        state.set_profiles(read?.all().cloned().collect());
        // Before the first question: whoever asks for evidence takes "not there" for an answer.
        state.seen(tokio::task::spawn_blocking(plugged_in).await?);
        let mut shell = Shell { ctx: args.ctx, state, told: None, profiles: args.profiles };
        shell.tell();
        let told = udev_runs();
        myself.send_interval(if told { LOOK_ALL_THE_SAME } else { LOOK }, || DirectoryMessage::Look);
        if told {
            let watched = myself.clone();
            shell.ctx.effects.spawn(&myself, async move {
                watch(watched).await;
                DirectoryMessage::Look
            });
        } else {
            tracing::info!("udev does not run: what is plugged in is looked for once a second");
        }
        myself.cast(DirectoryMessage::Look)?;
        Ok(shell)
    }

    async fn handle(
        &self,
        myself: ActorRef<DirectoryMessage>,
        message: DirectoryMessage,
        shell: &mut Shell,
    ) -> Result<(), ActorProcessingErr> {
        shell.ctx.chaos.strike(ChaosRole::Directory);
        match message {
            DirectoryMessage::Provide { board, port, bootloader: Some(shows), reply } => {
                shell.provide_phone(&myself, (board, port), shows, reply).await;
            }
            DirectoryMessage::Provide { board, port, bootloader: None, reply } => {
                shell.provide(&myself, board, port, reply).await;
            }
            DirectoryMessage::Learnt { board, port, facts, reply } => {
                shell.state.learn(&board, *facts);
                shell.provide(&myself, board, port, reply).await;
            }
            DirectoryMessage::Claim { device, reply } => shell.claim(&myself, &device, reply),
            DirectoryMessage::Known { device, facts, reply } => {
                let entry = shell.state.entry(&device).cloned();
                if let (Some(entry), Some(facts)) = (&entry, facts) {
                    shell.state.learn(&entry.board, *facts);
                }
                shell.ensure(&myself, entry.into_iter().collect(), reply);
            }
            DirectoryMessage::Machines { board, called, count, reply } => {
                let made = shell.state.add_machines(&board, &called, count);
                shell.tell();
                let _gone = reply.send(made);
            }
            DirectoryMessage::Machine { board, device, reply } => {
                let made = shell.state.has_machine(&board, &device);
                shell.tell();
                let _gone = reply.send(made);
            }
            DirectoryMessage::Unmake { devices, reply } => {
                shell.state.unmake(&devices);
                shell.tell();
                let _gone = reply.send(());
            }
            DirectoryMessage::Unclaimed { reply } => {
                let _gone = reply.send(shell.state.unclaimed());
            }
            DirectoryMessage::Drivers { reply } => {
                let _gone = reply.send(shell.state.drivers());
            }
            DirectoryMessage::Profile { board, project, reply } => {
                shell.read_profiles(&myself, project, move |profiles| {
                    let _gone = reply.send(profiles.of(&board));
                });
            }
            DirectoryMessage::ProfilesRead(profiles) => shell.state.set_profiles(profiles),
            DirectoryMessage::ConsoleOf { device, reply } => {
                let entry = shell.state.entry(&device);
                let _gone = reply.send(entry.and_then(|entry| shell.state.console_of(entry)).map(Into::into));
            }
            DirectoryMessage::PortOf { device, reply } => {
                let entry = shell.state.entry(&device);
                let port = entry.and_then(|entry| shell.state.port_of(entry));
                let _gone = reply.send(port.map(Into::into));
            }
            DirectoryMessage::AddressOf { device, reply } => {
                let entry = shell.state.entry(&device);
                let _gone = reply.send(entry.and_then(|entry| shell.state.address(entry)));
            }
            DirectoryMessage::Answered { device, well, reply } => {
                shell.state.tried(&device, well, unix_ms());
                shell.tell();
                let _gone = reply.send(());
            }
            DirectoryMessage::Met { device, identity, reply } => {
                shell.state.met(device.clone(), identity);
                shell.tell();
                let _gone = reply.send(shell.also(&device));
            }
            DirectoryMessage::AlsoOf { device, reply } => {
                let _gone = reply.send(shell.also(&device));
            }
            DirectoryMessage::Tried { answered: Err(problem), reply, .. } => {
                let _gone = reply.send(Err(problem));
            }
            DirectoryMessage::Tried { board, port, bootloader, answered: Ok(()), reply } => {
                shell.provide_tried(&myself, (&board, Some(&port)), &bootloader, reply).await;
            }
            DirectoryMessage::Shown { device, reply } => {
                let entry = shell.state.entry(&device);
                let shown = entry.map(|entry| shell.state.shown(entry)).unwrap_or_default();
                let _gone = reply.send(shown);
            }
            DirectoryMessage::Profiles { project, reply } => {
                shell.read_profiles(&myself, project, move |profiles| {
                    let wrong = profiles.damaged().iter().cloned().map(Problem::from).collect();
                    let _gone = reply.send((profiles.all().cloned().collect(), wrong));
                });
            }
            DirectoryMessage::Look => {
                shell.ctx.effects.spawn_blocking(&myself, || DirectoryMessage::Seen(plugged_in()));
            }
            DirectoryMessage::Seen(plugged) => {
                shell.state.seen(plugged);
                shell.tell();
                shell.follow(&myself);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_device_that_does_not_start_takes_no_other_with_it() {
        let bad = || Err(no_port("/dev/ttyACM0"));
        assert_eq!(any(vec![bad(), Ok(())]), Ok(()));
        assert_eq!(any(vec![bad(), bad()]), bad());
        assert_eq!(any(Vec::new()), Ok(()));
    }
}
