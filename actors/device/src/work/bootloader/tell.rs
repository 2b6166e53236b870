//! What a bootloader says while it works, told to whoever watches.

use farmhand_api::{EventBody, FlashStage};
use farmhand_wire::fastboot::printable;
use tokio::sync::mpsc;

use crate::fastboot::Listener;

/// Tells it on.
#[derive(Debug, Clone)]
pub(super) struct Tell(pub(super) Option<mpsc::Sender<EventBody>>);

impl Tell {
    pub(super) fn tell(&self, body: EventBody) {
        if let Some(to) = &self.0 {
            let _slow_reader_loses_it = to.try_send(body);
        }
    }
}

impl Listener for Tell {
    fn info(&mut self, line: &str) {
        self.tell(EventBody::Bootloader { text: printable(line), line: true });
    }

    fn text(&mut self, text: &str) {
        self.tell(EventBody::Bootloader { text: printable(text), line: false });
    }

    fn progress(&mut self, moved: u64, len: u64) {
        self.tell(EventBody::Flash { stage: FlashStage::Download, done_bytes: moved, total_bytes: len });
    }
}
