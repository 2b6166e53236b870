//! The emulated machine that the shell holds, and its news.

use farmhand_machine::{Ended, Loaded, News, Now};
use farmhand_messages::DeviceMessage;
use farmhand_runtime::ProcessId;
use ractor::ActorRef;

use super::{DeviceState, Done, Emulated, effect};
use crate::state::{Input, Wish};
use crate::work::FIRST_START;

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
        self.emulated = Some(Emulated { machine, starts, was_reset: false });
        let me = me.clone();
        self.ctx.effects.spawn(&me.clone(), async move {
            // What happened while nobody listened is in its state.
            if let Ok(Now::Stopped(state)) = here.now().await
                && let Some(ended) = Ended::while_nobody_looked(&state)
            {
                let _gone = me.cast(effect(Done::Guest(process, GuestEnd::Guest(ended))));
            }
            while let Some(said) = news.recv().await {
                match said {
                    News::Event(event) => {
                        if let Some(ended) = Ended::of(&event) {
                            let _gone = me.cast(effect(Done::Guest(process, GuestEnd::Guest(ended))));
                        }
                    }
                    News::Over(_) => break,
                }
            }
            effect(Done::Guest(process, GuestEnd::Gone))
        });
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
                self.step(me, Input::Ask { id: None, token: None, wish: Wish::Note { starts, cause } });
            }
            GuestEnd::Gone => {
                self.emulated = None;
                self.step(me, Input::Vanished);
            }
        }
    }
}
