//! A bar for what takes long: how far, how fast, what remains.

use farmhand::protocol::{BuildEvent, EventBody, FlashStage, InstallEvent, InstallStage};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Redrawn so often at most, a second: a person sees no more.
const DRAWS_PER_SECOND: u8 = 15;
const BYTES: &str =
    "  {prefix:8} {msg:24!} [{bar:20}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}";
const FILES: &str = "  {prefix:8} {msg:24!} [{bar:20}] {pos}/{len} {eta}";
const SPIN: &str = "  {prefix:8} {msg} {spinner}";

/// One bar at a time, or none where nothing moves.
pub(super) struct Bar {
    enabled: bool,
    bar: Option<(String, ProgressBar)>,
}

impl Bar {
    pub(super) fn new(enabled: bool) -> Self {
        Self { enabled, bar: None }
    }

    /// Moves the bar, where the event is a step of something long; whether it was.
    pub(super) fn moves(&mut self, body: &EventBody) -> bool {
        match body {
            EventBody::Install(install) => return self.install(install),
            EventBody::Build(BuildEvent::Progress { done, total, what }) => {
                self.show("build", FILES, what, u64::from(*done), u64::from(*total));
            }
            EventBody::Flash { stage, done_bytes, total_bytes } => {
                let what = match stage {
                    FlashStage::Compare => "compare",
                    FlashStage::Write => "write",
                    FlashStage::Verify => "verify",
                    FlashStage::Download => "to its memory",
                };
                self.show("flash", BYTES, what, *done_bytes, *total_bytes);
            }
            _ => return false,
        }
        true
    }

    fn install(&mut self, install: &InstallEvent) -> bool {
        let InstallEvent { package, stage, done_bytes, total_bytes, .. } = install;
        let what = match stage {
            InstallStage::Resolve => format!("{package}: look for it"),
            InstallStage::Fetch => package.clone(),
            InstallStage::Unpack => format!("{package}: unpack"),
            InstallStage::Wait | InstallStage::Done => return false,
        };
        let style = if *total_bytes == 0 { SPIN } else { BYTES };
        self.show("install", style, &what, *done_bytes, *total_bytes);
        true
    }

    fn show(&mut self, verb: &'static str, style: &str, what: &str, done: u64, total: u64) {
        if !self.enabled {
            return;
        }
        // Another stage has another rate.
        let stage = if style == FILES { verb.to_owned() } else { format!("{verb} {what}") };
        if self.bar.as_ref().is_none_or(|(shown, _)| *shown != stage) {
            self.end();
            let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
            let bar = ProgressBar::with_draw_target(Some(total), target);
            bar.set_style(ProgressStyle::with_template(style).expect("templates are checked by a test"));
            bar.set_prefix(verb);
            self.bar = Some((stage, bar));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_length(total);
            bar.set_message(what.to_owned());
            bar.set_position(done);
        }
    }

    /// Takes it off the screen: a line is to be written where it is.
    pub(super) fn end(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_right() {
        for template in [BYTES, FILES, SPIN] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
