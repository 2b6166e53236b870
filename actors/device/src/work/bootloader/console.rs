//! The console of a device whose bootloader is reached another way: a line apart.

use std::path::PathBuf;

use farmhand_messages::device::{ConsoleAt, FastbootWay};
use farmhand_messages::serial::PortSpec;
use farmhand_messages::{DirectoryMessage, SerialMessage};
use farmhand_runtime::ask_once;

use super::super::open::{OPEN_WITHIN, not_opened};
use super::super::{Ended, Opening, Tools};
use super::WHERE_WITHIN;
use crate::problems;
use crate::state::{ConsoleIs, Line, Outcome};

impl Opening {
    /// Opens the console, where there is one by now. The bootloader is not spoken to.
    pub(in crate::work) async fn console(self, tools: &Tools, way: &FastbootWay) -> Ended {
        let [reset_epoch, _] = self.fresh;
        let current = self.known.map_or(reset_epoch, |(epoch, _)| epoch);
        let line = |epoch, console| Line { epoch, starts: None, console };
        let path = match &way.console {
            None => return Outcome::Opened(Ok(line(current, ConsoleIs::None))).into(),
            Some(console) => tools.console_path(console).await,
        };
        let Some(path) = path else { return Outcome::Opened(Ok(line(current, ConsoleIs::ToCome))).into() };
        let spec = PortSpec { path, baud: self.baud, apart: true };
        let open = |reply| SerialMessage::Open { spec: spec.clone(), current, reset_epoch, reply };
        match farmhand_runtime::ask(&tools.serial(), OPEN_WITHIN, open).await {
            Ok(Ok(opened)) => Outcome::Opened(Ok(line(opened.epoch, ConsoleIs::Open))).into(),
            Ok(Err(error)) => not_opened(Box::new(problems::not_opened(&tools.config.name, &error)), false),
            Err(error) => {
                let problem = problems::no_answer(&tools.config.name, "its serial actor", &error.to_string());
                not_opened(Box::new(problem), true)
            }
        }
    }
}

impl Tools {
    /// Where the console is now; none: it is still to come.
    pub(super) async fn console_path(&self, console: &ConsoleAt) -> Option<PathBuf> {
        match console {
            ConsoleAt::Path(path) => Some(path.clone()),
            ConsoleAt::OfDevice => {
                let device = self.config.name.clone();
                let directory = self.ctx.names.directory();
                let asked =
                    ask_once(&directory, WHERE_WITHIN, |reply| DirectoryMessage::ConsoleOf { device, reply });
                asked.await.ok().flatten()
            }
        }
    }
}
