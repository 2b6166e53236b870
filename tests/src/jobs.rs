//! Jobs for a virtual Uno.

use farmhand_api::{Build, DeviceSelect, Goal, Job, OnGap, Source, Toolchain};
use farmhand_records::DeviceName;

use crate::shared::Image;

/// The board that a virtual Uno is.
pub const UNO: &str = "arduino:avr:uno";
/// Longer than any observation here takes; one that runs into it is a failure, not a slow machine.
const TIMEOUT_MS: u64 = 100_000;

/// Flashes an image and waits for its words; may be repeated. On `device`, or any.
#[must_use]
pub fn repeatable(image: &Image, device: Option<&str>) -> Job {
    let select =
        device.map_or(DeviceSelect::Board, |name| DeviceSelect::Named(DeviceName::new(name).unwrap()));
    Job {
        title: image.word.into(),
        project: image.path.parent().expect("an image lies in a folder").display().to_string(),
        goal: Goal::Run,
        board: UNO.into(),
        build: Build {
            source: Source::Artifact(image.path.display().to_string()),
            toolchain: Toolchain::Managed,
            flags: Vec::new(),
            cxx_flags: Vec::new(),
            link_flags: Vec::new(),
            jobs: 0,
        },
        device: select,
        once: false,
        expect: vec![format!("^{} 3$", image.word)],
        expect_places: Vec::new(),
        fail_on: Vec::new(),
        timeout_ms: TIMEOUT_MS,
        on_gap: OnGap::Reset,
        baud: 115_200,
        infra_retries: 0,
    }
}

/// As [`repeatable`], and its handoff must never be issued twice.
#[must_use]
pub fn run_once(image: &Image, device: Option<&str>) -> Job {
    Job { once: true, on_gap: OnGap::Unknown, ..repeatable(image, device) }
}

/// As [`run_once`], and it has passed when the handoff is acknowledged.
#[must_use]
pub fn flash_once(image: &Image, device: Option<&str>) -> Job {
    Job { goal: Goal::Flash, expect: Vec::new(), ..run_once(image, device) }
}
