//! `snapshot`: emulated machines, kept as they were.

use std::time::Instant;

use farmhand::protocol::{
    Answer, DeviceName, DeviceView, ProblemClass, Request, SnapshotCommand, SnapshotView,
};
use serde_json::{Value, json};

use super::bootloader::converse;
use super::with_farm;
use crate::args::{Cli, SnapshotVerb};
use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::reach::Reach;
use crate::screen::{printable, step};
use crate::table::table;
use crate::term::Term;
use crate::units::{age, bytes, now_unix_ms, took};

/// The driver of emulated machines.
const QEMU: &str = "qemu";

pub(crate) fn run(cli: &Cli, term: &Term, what: &SnapshotVerb) -> Result<u8, Failed> {
    let named = cli.global.device.as_deref();
    with_farm(cli, async |reach| match what {
        SnapshotVerb::Create { name, replace } => {
            let device = machine(reach, named).await?;
            create(reach, term, device, name, *replace).await
        }
        SnapshotVerb::Restore { name } => {
            let device = machine(reach, named).await?;
            let command = SnapshotCommand::Restore { device: device.clone(), name: name.clone() };
            let said = said(reach, term, command).await?;
            match term.json {
                true => term.answer(&json::done(json!({ "device": device.as_str(), "snapshot": name }))),
                false => term.answer(&printable(&said)),
            }
            Ok(exit::PASSED)
        }
        SnapshotVerb::Clone { name, count } => clones(reach, term, name, *count).await,
        SnapshotVerb::End => {
            let device = machine(reach, named).await?;
            let command = SnapshotCommand::End { device: device.clone() };
            converse(reach, term, Request::Snapshot(command), |_| false).await?;
            match term.json {
                true => term.answer(&json::done(json!({ "ended": device.as_str() }))),
                false => term.say(&step("ended", device.as_str(), "", "")),
            }
            Ok(exit::PASSED)
        }
        SnapshotVerb::List => list(reach, term).await,
        SnapshotVerb::Verify { names } => verify(reach, term, names).await,
        SnapshotVerb::Delete { names } => {
            for name in names {
                let command = SnapshotCommand::Delete { name: name.clone() };
                reach.ask(Request::Snapshot(command)).await?;
                match term.json {
                    true => term.answer(&json::done(json!({ "deleted": name }))),
                    false => term.say(&step("deleted", name, "", "")),
                }
            }
            Ok(exit::PASSED)
        }
        SnapshotVerb::Prune { unused, megabytes } => {
            let unused_ms = u64::try_from(unused.as_millis()).unwrap_or(u64::MAX);
            let bytes_max = megabytes.saturating_mul(1_000_000);
            let said = said(reach, term, SnapshotCommand::Prune { unused_ms, bytes_max }).await?;
            match term.json {
                true => term.answer(&json::done(json!({ "said": said }))),
                false => term.answer(&printable(&said)),
            }
            Ok(exit::PASSED)
        }
    })
}

/// The machine that is meant: the one that is named, or the only one there is.
async fn machine(reach: &mut Reach, named: Option<&str>) -> Result<DeviceName, Failed> {
    if let Some(named) = named {
        return DeviceName::new(named)
            .map_err(|error| Failed::usage(error.to_string(), &["farmhand devices"]));
    }
    let Answer::Devices(devices) = reach.ask(Request::Devices).await? else {
        return Err(answered_otherwise());
    };
    let is_machine = |device: &DeviceView| device.driver == QEMU;
    let machines: Vec<_> = devices.into_iter().filter(is_machine).filter_map(|device| device.name).collect();
    match machines.as_slice() {
        [one] => Ok(one.clone()),
        [] => {
            let help = ["farmhand run app.elf --board qemu:riscv32-virt makes one"];
            Err(Failed::new(ProblemClass::NoDevice, "F213", "there is no emulated machine", &help))
        }
        several => {
            let help: Vec<_> = several.iter().map(|name| format!("this one: --device {name}")).collect();
            let help: Vec<_> = help.iter().map(String::as_str).collect();
            let message = format!("there are {} emulated machines; none is chosen for you", several.len());
            Err(Failed::new(ProblemClass::NoDevice, "F206", message, &help))
        }
    }
}

async fn create(
    reach: &mut Reach,
    term: &Term,
    device: DeviceName,
    name: &str,
    replace: bool,
) -> Result<u8, Failed> {
    let began = Instant::now();
    let command = SnapshotCommand::Create { device: device.clone(), name: name.to_owned(), replace };
    let Answer::Snapshots(made) = converse(reach, term, Request::Snapshot(command), |_| false).await? else {
        return Err(answered_otherwise());
    };
    for view in &made {
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match term.json {
            true => term.answer(&json::done(json!({ "snapshot": one(view) }))),
            false => term.say(&step(
                "saved",
                &format!("{device} as {}, {}", view.name, bytes(view.bytes)),
                "",
                &took(ms),
            )),
        }
    }
    Ok(exit::PASSED)
}

async fn clones(reach: &mut Reach, term: &Term, name: &str, count: u16) -> Result<u8, Failed> {
    let began = Instant::now();
    let command = SnapshotCommand::Clone { name: name.to_owned(), count };
    let Answer::Devices(made) = converse(reach, term, Request::Snapshot(command), |_| false).await? else {
        return Err(answered_otherwise());
    };
    let names: Vec<_> = made.iter().filter_map(|view| view.name.as_ref()).map(DeviceName::as_str).collect();
    if term.json {
        term.answer(&json::done(json!({ "snapshot": name, "devices": names })));
        return Ok(exit::PASSED);
    }
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    term.say(&step("cloned", name, "", &took(ms)));
    for name in names {
        term.answer(&name);
    }
    Ok(exit::PASSED)
}

async fn said(reach: &mut Reach, term: &Term, command: SnapshotCommand) -> Result<String, Failed> {
    match converse(reach, term, Request::Snapshot(command), |_| false).await? {
        Answer::Said(said) => Ok(said),
        _ => Err(answered_otherwise()),
    }
}

async fn all(reach: &mut Reach) -> Result<Vec<SnapshotView>, Failed> {
    match reach.ask(Request::Snapshot(SnapshotCommand::List)).await? {
        Answer::Snapshots(all) => Ok(all),
        _ => Err(answered_otherwise()),
    }
}

async fn list(reach: &mut Reach, term: &Term) -> Result<u8, Failed> {
    let all = all(reach).await?;
    if term.json {
        term.answer(&json!({ "snapshots": all.iter().map(one).collect::<Vec<_>>() }));
        return Ok(exit::PASSED);
    }
    term.text(&listed(&all, now_unix_ms()));
    for problem in all.into_iter().filter_map(|view| view.wrong) {
        Failed(problem).say(term.colour_err);
    }
    Ok(exit::PASSED)
}

async fn verify(reach: &mut Reach, term: &Term, names: &[String]) -> Result<u8, Failed> {
    let names = match names {
        [] => all(reach).await?.into_iter().map(|view| view.name).collect(),
        names => names.to_vec(),
    };
    let mut code = exit::PASSED;
    for name in names {
        let began = Instant::now();
        let verify = Request::Snapshot(SnapshotCommand::Verify { name: name.clone() });
        if let Err(problem) = reach.ask(verify).await {
            // The others may be whole.
            code = problem.tell(term);
            continue;
        }
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match term.json {
            true => term.answer(&json::done(json!({ "verified": name }))),
            false => term.say(&step("whole", &name, "", &took(ms))),
        }
    }
    Ok(code)
}

fn one(view: &SnapshotView) -> Value {
    json!({ "name": view.name, "kind": view.kind, "device": view.device, "cached": view.cached,
        "bytes": view.bytes, "made_unix_ms": view.made_unix_ms, "used_unix_ms": view.used_unix_ms,
        "wrong": view.wrong.as_deref().map(json::problem) })
}

fn listed(all: &[SnapshotView], now: u64) -> String {
    if all.is_empty() {
        return "no snapshots; farmhand snapshot create NAME saves a machine that runs\n".to_owned();
    }
    let row = |view: &SnapshotView| {
        if view.wrong.is_some() {
            return vec![view.name.clone(), "-".into(), "-".into(), "-".into(), "cannot be read".into()];
        }
        let of = if view.cached { "farmhand" } else { "you" };
        vec![
            view.name.clone(),
            view.kind.clone(),
            view.device.clone(),
            bytes(view.bytes),
            age(view.made_unix_ms, now),
            of.to_owned(),
        ]
    };
    table(&["NAME", "KIND", "OF", "SIZE", "MADE", "BY"], &all.iter().map(row).collect::<Vec<_>>())
}

fn answered_otherwise() -> Failed {
    Failed::usage("the farm answered something else", &["farmhand status"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_listed_too() {
        let view = SnapshotView {
            name: "ready".into(),
            wrong: None,
            kind: "riscv32-virt".into(),
            device: "vm".into(),
            cached: false,
            bytes: 12_300_000,
            made_unix_ms: 1000,
            used_unix_ms: 1000,
        };
        let wrong = Failed::usage("no description", &[]);
        let damaged = SnapshotView { name: "old".into(), wrong: Some(wrong.0), ..view.clone() };
        let text = listed(&[damaged, view], 61_000);
        assert!(text.contains("old    -") && text.contains("cannot be read"), "{text}");
        assert!(text.contains("ready  riscv32-virt  vm  12.3 MB"), "{text}");
        assert!(listed(&[], 0).contains("snapshot create"));
    }
}
