//! The console of an emulated machine: a terminal that comes and goes with it.

use std::path::Path;

use farmhand_messages::SerialMessage;
use farmhand_messages::serial::{Opened, PortSpec};
use farmhand_records::Epoch;
use farmhand_runtime::ask;

use super::super::open::{OPEN_WITHIN, not_opened};
use super::super::{Ended, Opening, Tools};
use super::FIRST_START;
use crate::problems;
use crate::state::{ConsoleIs, Line, Outcome, Unopened};

impl Opening {
    /// Opens it, where there is a machine by now.
    pub(in crate::work) async fn console_of_machine(self, tools: &Tools) -> Ended {
        let [reset_epoch, _] = self.fresh;
        let current = self.known.map_or(reset_epoch, |(epoch, _)| epoch);
        let starts = self.known.and_then(|(_, starts)| starts);
        // In an epoch that began since, its starts are counted anew: what is counted are those to come.
        let counted = |epoch| starts.filter(|_| epoch == current).or(Some(FIRST_START));
        let line = |epoch, console| Line { epoch, starts: counted(epoch), console };
        let found = match tools.the_machine().await {
            Ok(Some(found)) => found,
            Ok(None) => return Outcome::Opened(Ok(line(current, ConsoleIs::ToCome))).into(),
            Err(error) => return not_opened(tools.no_machine(&error), false),
        };
        match tools.open_console(found.machine().console(), self.baud, current, reset_epoch).await {
            Ok(opened) => {
                let outcome = Outcome::Opened(Ok(line(opened.epoch, ConsoleIs::Open)));
                Ended { loaded: found.adopted(), ..outcome.into() }
            }
            Err(Unopened { problem, perhaps }) => {
                Ended { loaded: found.adopted(), ..not_opened(problem, perhaps) }
            }
        }
    }
}

impl Tools {
    /// Opens it; nothing of it begins an epoch but that there was none.
    pub(super) async fn open_console(
        &self,
        path: &Path,
        baud: u32,
        current: Epoch,
        reset_epoch: Epoch,
    ) -> Result<Opened, Unopened> {
        let spec = PortSpec { path: path.to_owned(), baud, apart: true };
        let open = |reply| SerialMessage::Open { spec: spec.clone(), current, reset_epoch, reply };
        let name = &self.config.name;
        match ask(&self.serial(), OPEN_WITHIN, open).await {
            Ok(Ok(opened)) => Ok(opened),
            Ok(Err(error)) => {
                Err(Unopened { problem: Box::new(problems::not_opened(name, &error)), perhaps: false })
            }
            Err(error) => {
                let problem = problems::no_answer(name, "its serial actor", &error.to_string());
                Err(Unopened { problem: Box::new(problem), perhaps: true })
            }
        }
    }
}
