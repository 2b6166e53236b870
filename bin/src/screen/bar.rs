//! Bars for what takes long: how far, how fast, what remains.

use std::fmt::Write;
use std::time::Duration;

use farmhand::protocol::{BuildEvent, EventBody, FlashStage, InstallEvent, InstallStage};
use indicatif::{
    HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle,
};

use crate::units;

/// Redrawn so often at most, a second: a person sees no more.
const DRAWS_PER_SECOND: u8 = 15;
/// A rate is told after so long: what came before says little.
const RATE_AFTER: Duration = Duration::from_millis(300);
const BYTES: &str = "  {prefix:8} {msg:24!} [{bar:10}] {decimal_bytes}/{decimal_total_bytes} {rate}";
const FILES: &str = "  {prefix:8} {msg:24!} [{bar:20}] {pos}/{len} {eta}";
const SPIN: &str = "  {prefix:8} {msg} {spinner}";

/// One bar for each thing that goes on, or none where nothing moves.
pub(super) struct Bar {
    enabled: bool,
    all: MultiProgress,
    bars: Vec<Shown>,
}

struct Shown {
    verb: &'static str,
    /// What goes on: a package, or a verb.
    what: String,
    /// Another stage has another rate, another style another shape.
    stage: (String, &'static str),
    bar: ProgressBar,
}

impl Bar {
    pub(super) fn new(enabled: bool) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
        Self { enabled, all: MultiProgress::with_draw_target(target), bars: Vec::new() }
    }

    /// Moves the bar, where the event is a step of something long; whether it was.
    pub(super) fn moves(&mut self, body: &EventBody) -> bool {
        match body {
            EventBody::Install(install) => return self.install(install),
            EventBody::Build(BuildEvent::Progress { done, total, what }) => {
                let stage = (String::new(), FILES);
                self.show(("build", "build"), stage, what, u64::from(*done), u64::from(*total));
            }
            EventBody::Flash { stage, done_bytes, total_bytes } => {
                let what = match stage {
                    FlashStage::Compare => "compare",
                    FlashStage::Write => "write",
                    FlashStage::Verify => "verify",
                    FlashStage::Download => "to its memory",
                };
                self.show(("flash", "flash"), (what.to_owned(), BYTES), what, *done_bytes, *total_bytes);
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
            InstallStage::Wait => return false,
            InstallStage::Done => {
                self.done(package);
                return false;
            }
        };
        let style = if *total_bytes == 0 { SPIN } else { BYTES };
        self.show(("install", package), (what.clone(), style), &what, *done_bytes, *total_bytes);
        true
    }

    fn show(
        &mut self,
        (verb, of): (&'static str, &str),
        stage: (String, &'static str),
        what: &str,
        done: u64,
        total: u64,
    ) {
        if !self.enabled {
            return;
        }
        if self.bars.iter().any(|shown| shown.verb != verb) {
            self.end();
        }
        if self.bars.iter().any(|shown| shown.what == of && shown.stage != stage) {
            self.done(of);
        }
        let at = self.bars.iter().position(|shown| shown.what == of).unwrap_or_else(|| {
            let bar = ProgressBar::new(total).with_style(style(stage.1, done)).with_prefix(verb);
            self.bars.push(Shown { verb, what: of.to_owned(), stage, bar: self.all.add(bar) });
            self.bars.len() - 1
        });
        let bar = &self.bars[at].bar;
        bar.set_length(total);
        bar.set_message(what.to_owned());
        bar.set_position(done);
    }

    /// Takes one off the screen.
    fn done(&mut self, what: &str) {
        for shown in self.bars.extract_if(.., |shown| shown.what == what) {
            shown.bar.finish_and_clear();
            self.all.remove(&shown.bar);
        }
    }

    /// Takes them off the screen until one moves: a line is to be written where they are.
    pub(super) fn pause(&mut self) {
        if !self.bars.is_empty() {
            // A terminal that is gone is seen by who writes the line.
            let _gone = self.all.clear();
        }
    }

    /// Takes them off the screen: there will be no more.
    pub(super) fn end(&mut self) {
        for shown in std::mem::take(&mut self.bars) {
            shown.bar.finish_and_clear();
            self.all.remove(&shown.bar);
        }
    }
}

/// A template with `{rate}`: what came since the bar began at `from`, and how long the rest takes at that.
fn style(template: &str, from: u64) -> ProgressStyle {
    let rate = move |state: &ProgressState, out: &mut dyn Write| {
        let elapsed = state.elapsed();
        let came = state.pos().saturating_sub(from);
        if elapsed < RATE_AFTER || came == 0 {
            return;
        }
        let a_second = came as f64 / elapsed.as_secs_f64();
        let left = state.len().unwrap_or(0).saturating_sub(state.pos());
        let rest = Duration::try_from_secs_f64(left as f64 / a_second).unwrap_or(Duration::MAX);
        let _never_fails = write!(out, "{}/s {:#}", units::bytes(a_second as u64), HumanDuration(rest));
    };
    ProgressStyle::with_template(template).expect("templates are checked by a test").with_key("rate", rate)
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
