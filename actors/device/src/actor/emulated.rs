//! The emulated machine that the shell holds, and its news.

use farmhand_machine::{Ended, Kind, Loaded, Machine, News};
use farmhand_messages::DeviceMessage;
use farmhand_runtime::ProcessId;
use farmhand_wire::qmp::Event;
use ractor::ActorRef;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{DeviceState, Done, Emulated, effect};
use crate::state::{Input, Wish};
use crate::work::{Attend, Attended, FIRST_START, GuestFolder, Speaks, Tools};

/// A guest's agent, as the shell knows it.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) attended: watch::Receiver<Attended>,
    /// Ends its task: the agent of a guest that was reset is another.
    pub(super) stop: CancellationToken,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// How it was that it ended by itself.
#[derive(Debug)]
pub(super) enum GuestEnd {
    /// The guest reset it, powered it off, or panicked: it is stopped.
    Guest(Ended),
    /// QEMU has ended.
    Gone,
}

impl DeviceState {
    /// Holds a machine, and has its news told.
    pub(super) fn keep_machine(&mut self, me: &ActorRef<DeviceMessage>, loaded: Loaded) {
        let Loaded { machine, mut news } = loaded;
        let process = machine.process();
        // Its starts are counted by its owners, from the one that it was sent on its way by.
        let starts = self.machine.starts().unwrap_or_default().max(FIRST_START);
        let here = machine.clone();
        let agent = self.attend(me, &machine);
        self.emulated = Some(Emulated { machine, starts, was_reset: false, agent });
        let me = me.clone();
        self.ctx.effects.spawn(&me.clone(), async move {
            // What happened while nobody listened.
            let found = here.ended_by_itself().await.ok().flatten();
            // A processor goes on for a moment behind its reset, and asks for it in more than one way: that is one end, until it is
            // let go on.
            let mut is_told = found.is_some();
            if let Some(ended) = found {
                let _gone = me.cast(effect(Done::Guest(process, GuestEnd::Guest(ended))));
            }
            while let Some(said) = news.recv().await {
                match said {
                    News::Event(Event::Resume) => is_told = false,
                    News::Event(event) => {
                        if let Some(ended) = Ended::of(&event).filter(|_| !is_told) {
                            is_told = true;
                            let _gone = me.cast(effect(Done::Guest(process, GuestEnd::Guest(ended))));
                        }
                    }
                    News::Over(_) => break,
                }
            }
            effect(Done::Guest(process, GuestEnd::Gone))
        });
    }

    /// Has a Linux guest attended: from its start, or from where it stands.
    fn attend(&self, me: &ActorRef<DeviceMessage>, machine: &Machine) -> Option<Agent> {
        let kind = self.linux()?;
        let tools = Tools {
            ctx: self.ctx.clone(),
            config: self.config.clone(),
            driver: self.driver.clone(),
            machine: Some(machine.clone()),
        };
        let (attended, seen) = watch::channel(Attended::NotYet("it has just begun".into()));
        let stop = CancellationToken::new();
        let attend = Attend { tools, machine: machine.clone(), kind, attended };
        let until = stop.clone();
        self.ctx.effects.spawn(me, async move {
            let _stopped = until.run_until_cancelled(attend.run()).await;
            effect(Done::Attended)
        });
        Some(Agent { attended: seen, stop })
    }

    /// The kind of guest that it is.
    pub(super) fn linux(&self) -> Option<&'static Kind> {
        match self.driver {
            Ok(Speaks::Machine(kind)) if kind.is_linux() => Some(kind),
            _ => None,
        }
    }

    pub(super) fn guest_ended(&mut self, me: &ActorRef<DeviceMessage>, process: ProcessId, end: &GuestEnd) {
        let Some(emulated) = self.emulated.as_mut().filter(|emulated| emulated.machine.process() == process)
        else {
            return;
        };
        match end {
            GuestEnd::Guest(ended) => {
                emulated.starts += 1;
                emulated.was_reset = *ended == Ended::Reset;
                let (starts, cause) = (emulated.starts, ended.cause().to_owned());
                let machine = emulated.machine.clone();
                if *ended == Ended::Reset {
                    GuestFolder::at(&self.ctx.paths.board(&self.config.name)).was_reset();
                }
                // Of one that is off nothing comes until it is loaded anew.
                let agent = if *ended == Ended::Reset { self.attend(me, &machine) } else { None };
                if let Some(emulated) = &mut self.emulated {
                    emulated.agent = agent;
                }
                self.step(me, Input::Ask { id: None, token: None, wish: Wish::Note { starts, cause } });
            }
            GuestEnd::Gone => {
                self.emulated = None;
                self.step(me, Input::Vanished);
            }
        }
    }
}
