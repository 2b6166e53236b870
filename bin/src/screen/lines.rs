//! Lines of what was done: a verb, what, how much, how long.

use farmhand::protocol::{BuildEvent, EpochCause, Event, EventBody, InstallEvent, InstallStage, PhaseName};

use super::printable;
use crate::json::cause_word;
use crate::units::{bytes, took};

/// One line.
pub(crate) fn step(verb: &str, what: &str, size: &str, time: &str) -> String {
    // What has no size of its own has that column too: times stay in theirs.
    let line = match size {
        "" => format!("  {verb:<8} {what:<38} {time}"),
        size => format!("  {verb:<8} {what:<29} {size:<8} {time}"),
    };
    line.trim_end().to_owned()
}

/// What an event says; nothing where it is of no use to people.
pub(super) fn of(event: &Event, verbose: bool) -> Vec<String> {
    let line = match &event.body {
        EventBody::Install(install) => return installed(install).into_iter().collect(),
        // To be copied: nothing stands before it.
        EventBody::Build(BuildEvent::Command(line)) => return vec![printable(line)],
        EventBody::Build(BuildEvent::Note(text)) => format!("  {:<8} {text}", "build"),
        EventBody::Build(BuildEvent::Done { unchanged: true, elapsed_ms, .. }) => {
            step("build", "unchanged", "", &took(*elapsed_ms))
        }
        EventBody::Build(BuildEvent::Done {
            compiled,
            cached,
            image_bytes,
            image_bytes_max,
            data_bytes,
            data_bytes_max,
            before,
            elapsed_ms,
            ..
        }) => {
            let what = built(*compiled, *cached, *image_bytes, *image_bytes_max);
            let first = step("build", &what, "", &took(*elapsed_ms));
            let image = (*image_bytes, *image_bytes_max);
            return [Some(first), size(image, (*data_bytes, *data_bytes_max), *before)]
                .into_iter()
                .flatten()
                .collect();
        }
        EventBody::Device { board, virtual_ } => {
            let name = event.device.as_ref().map_or("?", |device| device.as_str());
            let how = match *virtual_ {
                true if event.device.as_ref().is_some_and(farmhand::is_stand_in) => {
                    "no board plugged in; virtual"
                }
                true => "virtual",
                false => board,
            };
            step("device", &format!("{name} ({how})"), "", "")
        }
        // Its words may come in parts: the screen puts them together.
        EventBody::WaitsForRoom { path, ends: None } => {
            format!("  the disk is full at {path}; waiting for room")
        }
        EventBody::WaitsForRoom { path, ends: Some(problem) } => {
            let why = &problem.message;
            format!("  the disk is full at {path}; waiting for room to record how it ended: {why}")
        }
        EventBody::Bootloader { .. } => return Vec::new(),
        EventBody::Staged { bytes: size, elapsed_ms } => {
            step("flash", &format!("{}, in its memory", bytes(*size)), "", &took(*elapsed_ms))
        }
        EventBody::Partition { name, before: true, .. } => {
            format!("  flash    {name} skipped: done before it was interrupted")
        }
        EventBody::Partition { name, erased: true, elapsed_ms, .. } => {
            step("erase", name, "", &took(*elapsed_ms))
        }
        EventBody::Partition { name, bytes: size, elapsed_ms, .. } => {
            step("flash", &format!("{name}, {}", bytes(*size)), "", &took(*elapsed_ms))
        }
        EventBody::Flashed { written_bytes: 0, since: Some(since), .. } => {
            let name = event.device.as_ref().map_or("it", |device| device.as_str());
            format!("  flash    skipped: {name} holds this image since {since}")
        }
        EventBody::Flashed { image_bytes, written_bytes: 0, elapsed_ms, .. } => {
            step("flash", &format!("{} there already, verified", bytes(*image_bytes)), "", &took(*elapsed_ms))
        }
        EventBody::Flashed { image_bytes, elapsed_ms, .. } => {
            step("flash", &format!("{}, verified", bytes(*image_bytes)), "", &took(*elapsed_ms))
        }
        EventBody::EpochBegan { epoch, cause } => match cause {
            EpochCause::Handoff(_) => step("console", &format!("epoch {epoch}"), "", ""),
            EpochCause::Reset => step("reset", &format!("epoch {epoch}"), "", ""),
            _ => format!("  console  epoch {epoch}: {}", cause_word(cause)),
        },
        EventBody::Note(text) => format!("  {text}"),
        EventBody::ActorRestarted { actor, why, .. } => format!("  farm     {actor} was restarted: {why}"),
        EventBody::Quarantine(Some(why)) => format!("  device   set aside: {why}"),
        EventBody::Quarantine(None) => step("device", "given back", "", ""),
        EventBody::Missed => format!("  {:<8} what happened before is no longer kept", "farm"),
        EventBody::Presence { present: false } => step("device", "is gone", "", ""),
        EventBody::Presence { present: true } => step("device", "is there", "", ""),
        EventBody::Phase(PhaseName::Queued) => return Vec::new(),
        EventBody::Phase(phase) if verbose => step("session", &format!("{phase:?}").to_lowercase(), "", ""),
        EventBody::Phase(_) | EventBody::Build(_) | EventBody::Flash { .. } | EventBody::Finished { .. } => {
            return Vec::new();
        }
    };
    vec![line]
}

/// Where nothing moves on the screen: how far something long is.
pub(super) fn still(body: &EventBody) -> Option<String> {
    match body {
        EventBody::Install(InstallEvent { package, done_bytes, total_bytes, .. }) => {
            let of = if *total_bytes == 0 { String::new() } else { format!(" of {}", bytes(*total_bytes)) };
            Some(step("install", &format!("{package}: {}{of} so far", bytes(*done_bytes)), "", ""))
        }
        EventBody::Build(BuildEvent::Progress { done, total, .. }) => {
            Some(step("build", &format!("{done} of {total} so far"), "", ""))
        }
        EventBody::Flash { done_bytes, total_bytes, .. } => {
            Some(step("flash", &format!("{} of {} so far", bytes(*done_bytes), bytes(*total_bytes)), "", ""))
        }
        _ => None,
    }
}

fn built(compiled: u32, cached: u32, image_bytes: u64, max: u64) -> String {
    let files = match (compiled, cached) {
        // Not by us: the project's own command, or somebody else.
        (0, 0) => return size_of(image_bytes, max),
        (0, 1) => "1 file from the cache".to_owned(),
        (0, cached) => format!("{cached} files from the cache"),
        (1, 0) => "1 file".to_owned(),
        (compiled, 0) => format!("{compiled} files"),
        (1, cached) => format!("1 file, {cached} cached"),
        (compiled, cached) => format!("{compiled} files, {cached} cached"),
    };
    format!("{files}, {}", size_of(image_bytes, max))
}

/// `program 2900 of 32256 B (+12), data 188 of 2048 B`: where the data's size is known, or something has changed.
fn size(image: (u64, u64), data: (u64, u64), before: Option<(u64, u64)>) -> Option<String> {
    let one = |what: &str, (now, max): (u64, u64), before: Option<u64>| {
        let of = if max == 0 { String::new() } else { format!(" of {max}") };
        let change = match before {
            Some(before) if before < now => format!(" (+{})", now - before),
            Some(before) if before > now => format!(" (-{})", before - now),
            _ => String::new(),
        };
        format!("{what} {now}{of} B{change}")
    };
    let has_changed = before.is_some_and(|before| before != (image.0, data.0));
    (data.1 != 0 || has_changed).then(|| {
        let program = one("program", image, before.map(|(image, _)| image));
        let data = one("data", data, before.map(|(_, data)| data));
        format!("  {:<8} {program}, {data}", "size")
    })
}

/// `2900 B (8 %)`.
pub(crate) fn size_of(image_bytes: u64, max: u64) -> String {
    match max {
        0 => bytes(image_bytes),
        max => format!("{} ({} %)", bytes(image_bytes), image_bytes * 100 / max),
    }
}

fn installed(install: &InstallEvent) -> Option<String> {
    let InstallEvent { package, version, archives, stage, total_bytes, elapsed_ms, .. } = install;
    // What upstream calls it: Debian's own suffixes tell nobody more.
    let upstream = version.split(['+', '-', '~']).next().unwrap_or(version);
    let name = format!("{package} {upstream}");
    let what = match archives {
        0 | 1 => name.trim_end().to_owned(),
        archives => format!("{} and {} more", name.trim_end(), archives - 1),
    };
    match stage {
        // Nothing had to be fetched: it was there.
        InstallStage::Done if *total_bytes == 0 => None,
        InstallStage::Done => Some(step("install", &what, &bytes(*total_bytes), &took(*elapsed_ms))),
        InstallStage::Wait => {
            Some(step("install", &format!("{package}: another install of it is under way"), "", ""))
        }
        InstallStage::Resolve | InstallStage::Fetch | InstallStage::Unpack => None,
    }
}

#[cfg(test)]
mod tests {
    use farmhand::protocol::{DeviceName, Epoch, EventSeq, SessionId};
    use insta::assert_snapshot;

    use super::*;

    fn shown(bodies: Vec<EventBody>) -> String {
        let line = |body| {
            let device = Some(DeviceName::new("uno-sim").unwrap());
            of(&Event { seq: EventSeq::default(), unix_ms: 0, session: None, device, body }, false)
        };
        bodies.into_iter().flat_map(line).collect::<Vec<_>>().join("\n")
    }

    fn install(stage: InstallStage) -> EventBody {
        EventBody::Install(InstallEvent {
            package: "avr-gcc".into(),
            version: "5.4.0+Atmel3.6.2-3".into(),
            archives: 6,
            stage,
            done_bytes: 1,
            total_bytes: 24_100_000,
            elapsed_ms: 6_200,
        })
    }

    fn done(unchanged: bool) -> EventBody {
        EventBody::Build(BuildEvent::Done {
            unchanged,
            compiled: 25,
            cached: 0,
            image_bytes: 2900,
            image_bytes_max: 32_256,
            data_bytes: 188,
            data_bytes_max: 2048,
            before: None,
            elapsed_ms: if unchanged { 12 } else { 940 },
        })
    }

    fn flashed(written_bytes: u64, since: Option<u64>) -> EventBody {
        let since = since.map(SessionId);
        EventBody::Flashed { image_bytes: 2900, written_bytes, since, elapsed_ms: 640 }
    }

    #[test]
    fn a_first_run() {
        let text = shown(vec![
            install(InstallStage::Resolve),
            install(InstallStage::Fetch),
            install(InstallStage::Done),
            done(false),
            EventBody::Device { board: "arduino:avr:uno".into(), virtual_: true },
            flashed(2900, None),
            EventBody::EpochBegan { epoch: Epoch(1), cause: EpochCause::Handoff(SessionId(1)) },
        ]);
        assert_snapshot!(text, @r"
          install  avr-gcc 5.4.0 and 5 more      24.1 MB  6.2 s
          build    25 files, 2900 B (8 %)                 0.9 s
          size     program 2900 of 32256 B, data 188 of 2048 B
          device   uno-sim (no board plugged in; virtual)
          flash    2900 B, verified                       0.6 s
          console  epoch 1
        ");
    }

    #[test]
    fn a_board_that_farm_toml_names_stands_in_for_none() {
        let device = Some(DeviceName::new("lab-1").unwrap());
        let body = EventBody::Device { board: "arduino:avr:uno".into(), virtual_: true };
        let event = Event { seq: EventSeq::default(), unix_ms: 0, session: None, device, body };
        assert_eq!(of(&event, false), ["  device   lab-1 (virtual)"]);
    }

    #[test]
    fn a_build_that_is_somebody_elses_and_a_project_that_is_read_only() {
        let text = shown(vec![
            EventBody::Build(BuildEvent::Note("the project is read only: its build is kept in /f/1".into())),
            EventBody::Build(BuildEvent::Done {
                unchanged: false,
                compiled: 0,
                cached: 0,
                image_bytes: 2900,
                image_bytes_max: 0,
                data_bytes: 0,
                data_bytes_max: 0,
                before: None,
                elapsed_ms: 940,
            }),
        ]);
        assert_snapshot!(text, @r"
          build    the project is read only: its build is kept in /f/1
          build    2900 B                                 0.9 s
        ");
    }

    #[test]
    fn how_large_it_is_and_was() {
        let line = |before| size((2900, 32_256), (188, 2048), before).unwrap();
        assert_eq!(
            line(Some((2888, 190))),
            "  size     program 2900 of 32256 B (+12), data 188 of 2048 B (-2)"
        );
        assert_eq!(line(Some((2900, 188))), "  size     program 2900 of 32256 B, data 188 of 2048 B");
        assert_eq!(size((2900, 0), (0, 0), None), None, "nothing more is known");
        assert_eq!(size((9, 0), (4, 0), Some((8, 4))).unwrap(), "  size     program 9 B (+1), data 4 B");
    }

    #[test]
    fn a_second_run() {
        let text = shown(vec![
            done(true),
            flashed(0, Some(1)),
            EventBody::EpochBegan { epoch: Epoch(2), cause: EpochCause::Reset },
            EventBody::EpochBegan { epoch: Epoch(3), cause: EpochCause::Itself("watchdog".into()) },
        ]);
        assert_snapshot!(text, @r"
          build    unchanged                              12 ms
          flash    skipped: uno-sim holds this image since s-1
          reset    epoch 2
          console  epoch 3: started by itself: watchdog
        ");
    }
}
