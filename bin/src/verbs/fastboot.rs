//! `fastboot`: the words of the tool that people know, right where that one is wrong.

mod words;

use farmhand::protocol::{
    Answer, BootSource, BootloaderCommand, Build, DeviceSelect, DeviceState, DeviceView, EventBody, Goal,
    Job, Leave, OnGap, PartitionStep, Request, Source, Toolchain,
};
use farmhand_wire::fastboot::variable::split_line;
use serde_json::{Map, Value, json};

use super::boot::find_device;
use super::bootloader::{absolute, converse, readable};
use super::run::submit_and_follow;
use super::with_farm;
use crate::args::{Cli, FastbootFlags};
use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::project;
use crate::reach::Reach;
use crate::screen::{printable, step};
use crate::table::columns;
use crate::term::Term;
use crate::units::bytes;
use words::{Step, Wish};

/// The console's rate, of which a session that only writes makes no use.
const BAUD: u32 = 115_200;
/// A session that expects nothing observes nothing.
const OBSERVE_MS: u64 = 1000;

/// A wish, ready to be sent: files are there, paths are absolute.
enum Ready {
    Devices,
    Say(BootloaderCommand),
    Session(Box<Job>, Vec<String>),
}

pub(crate) fn run(cli: &Cli, term: &Term, flags: &FastbootFlags) -> Result<u8, Failed> {
    let device = device(cli, flags)?;
    let wishes = words::read(&flags.words, flags.set_active.as_ref())?;
    // All of it is looked at before the first word is sent: a file that is not there is seen now.
    let lasting = |wish: &Wish| matches!(wish, Wish::Write(..) | Wish::Boot(..));
    if flags.once && !wishes.iter().any(lasting) {
        let help = ["farmhand fastboot flash PARTITION FILE --once", "farmhand fastboot --help"];
        return Err(Failed::usage("--once is for flash and erase, and neither is said", &help));
    }
    let project = absolute(&project::folder(&cli.global)?)?;
    let of = (&device, project.as_str());
    let ready = wishes.into_iter().map(|wish| ready(wish, of, flags.once)).collect::<Result<Vec<_>, _>>()?;
    if cli.global.dry_run {
        for ready in &ready {
            for line in plan(ready) {
                term.answer(&line);
            }
        }
        return Ok(exit::PASSED);
    }
    with_farm(cli, async |reach| {
        for ready in ready {
            let code = match ready {
                Ready::Devices => devices(reach, term).await?,
                Ready::Say(command) => say(reach, term, of, command).await?,
                Ready::Session(job, touches) => session(reach, term, *job, &touches).await?,
            };
            if code != exit::PASSED {
                return Ok(code);
            }
        }
        Ok(exit::PASSED)
    })
}

/// Which one is meant: `-s`, `--device`, `--port`, the settings, and what the known tool reads.
fn device(cli: &Cli, flags: &FastbootFlags) -> Result<Option<String>, Failed> {
    if flags.serial.is_some() {
        return Ok(flags.serial.clone());
    }
    let (_, config) = project::load(&cli.global, None, Vec::new())?;
    Ok(match config.select()? {
        DeviceSelect::Named(name) => Some(name.to_string()),
        DeviceSelect::Port(port) => Some(port),
        DeviceSelect::Board => std::env::var("ANDROID_SERIAL").ok().filter(|serial| !serial.is_empty()),
    })
}

fn ready(wish: Wish, (device, project): (&Option<String>, &str), once: bool) -> Result<Ready, Failed> {
    use BootloaderCommand as Say;
    let select = device.clone().map_or(DeviceSelect::Board, DeviceSelect::Port);
    Ok(match wish {
        Wish::Devices => Ready::Devices,
        Wish::Say(Say::Stage(file)) => Ready::Say(Say::Stage(readable(file.as_ref())?.0)),
        Wish::Say(Say::GetStaged(file)) => Ready::Say(Say::GetStaged(absolute(file.as_ref())?)),
        Wish::Say(Say::Fetch(partition, file)) => Ready::Say(Say::Fetch(partition, absolute(file.as_ref())?)),
        Wish::Say(command) => Ready::Say(command),
        Wish::Boot(image, ramdisk) => {
            let (image, _) = readable(&image)?;
            let ramdisk = ramdisk.map(|ramdisk| readable(&ramdisk)).transpose()?.map(|(path, _)| path);
            let boot = BootSource { image, ramdisk, dtb: None, cmdline: None };
            Ready::Session(Box::new(job("boot", project, Source::Boot(boot), (select, true))), Vec::new())
        }
        Wish::Write(steps, leave) => {
            let (mut made, mut touches) = (Vec::new(), Vec::new());
            for step in steps {
                match step {
                    Step::Flash(partition, file) => {
                        let (path, size) = readable(&file)?;
                        touches.push(format!("{partition} with {} ({})", file.display(), bytes(size)));
                        made.push(PartitionStep::Flash(partition, path));
                    }
                    Step::Erase(partition) => {
                        touches.push(format!("{partition}, which is erased"));
                        made.push(PartitionStep::Erase(partition));
                    }
                }
            }
            let job = job("flash", project, Source::Partitions(made, leave), (select, once));
            Ready::Session(Box::new(job), touches)
        }
    })
}

/// `once`: a boot is; what is written is where its user says so.
fn job(title: &str, project: &str, source: Source, (device, once): (DeviceSelect, bool)) -> Job {
    Job {
        title: title.into(),
        project: project.to_owned(),
        goal: Goal::Flash,
        board: farmhand::FASTBOOT.into(),
        build: Build {
            source,
            toolchain: Toolchain::Managed,
            flags: Vec::new(),
            cxx_flags: Vec::new(),
            link_flags: Vec::new(),
            jobs: 0,
        },
        device,
        once,
        expect: Vec::new(),
        expect_places: Vec::new(),
        fail_on: Vec::new(),
        timeout_ms: OBSERVE_MS,
        on_gap: if once { OnGap::Unknown } else { OnGap::Reset },
        baud: BAUD,
        infra_retries: 0,
    }
}

/// What it would do, a line each.
fn plan(ready: &Ready) -> Vec<String> {
    match ready {
        Ready::Devices => vec![step("devices", "", "", "")],
        Ready::Say(command) => {
            vec![step("say", &touched(command).unwrap_or_else(|| command.to_string()), "", "")]
        }
        Ready::Session(job, touches) => {
            let never_twice = |touch: &String| match job.once {
                true => format!("{touch}, never twice"),
                false => touch.clone(),
            };
            let mut lines: Vec<_> =
                touches.iter().map(|touch| step("write", &never_twice(touch), "", "")).collect();
            match &job.build.source {
                Source::Boot(boot) => {
                    lines.push(step("boot", &format!("{}, never twice", boot.image), "", ""))
                }
                Source::Partitions(_, Leave::Reboot) => lines.push(step("reboot", "", "", "")),
                Source::Partitions(_, Leave::Continue) => lines.push(step("continue", "", "", "")),
                Source::Partitions(_, Leave::RebootBootloader) => {
                    lines.push(step("reboot", "to its bootloader", "", ""));
                }
                _ => {}
            }
            lines
        }
    }
}

/// What a command touches, where it writes.
fn touched(command: &BootloaderCommand) -> Option<String> {
    match command {
        BootloaderCommand::SetActive(slot) => Some(format!("which slot is started: {slot}")),
        BootloaderCommand::Oem(words) => Some(format!("whatever its maker means by \"oem {words}\"")),
        BootloaderCommand::Flashing(words) if words == "get_unlock_ability" => None,
        BootloaderCommand::Flashing(words) => Some(format!("its lock: {words}")),
        _ => None,
    }
}

async fn session(reach: &mut Reach, term: &Term, mut job: Job, touches: &[String]) -> Result<u8, Failed> {
    find_device(reach, &mut job, false).await?;
    let on = match &job.device {
        DeviceSelect::Named(name) => name.to_string(),
        DeviceSelect::Port(port) => format!("the device {port}"),
        DeviceSelect::Board => "the only device that speaks fastboot".into(),
    };
    if !touches.is_empty() && !term.events {
        term.say(&format!("  {:<8} on {on}: {}", "writes", touches.join("; ")));
    }
    submit_and_follow(reach, term, job).await
}

async fn say(
    reach: &mut Reach,
    term: &Term,
    (device, project): (&Option<String>, &str),
    command: BootloaderCommand,
) -> Result<u8, Failed> {
    if let (Some(touched), false) = (touched(&command), term.events) {
        let on = device.as_deref().unwrap_or("the only device that speaks fastboot");
        term.say(&format!("  {:<8} on {on}: {touched}", "writes"));
    }
    let device = device.as_deref().map(super::bootloader::place);
    let all = command == BootloaderCommand::GetVarAll;
    let request = Request::Bootloader { device, project: Some(project.to_owned()), command: command.clone() };
    let mut variables: Vec<(String, String)> = Vec::new();
    let hear = |body: &EventBody| match body {
        EventBody::Bootloader { text, line: true } if all => match split_line(text) {
            Some((name, value)) => {
                variables.push((name.to_owned(), value.to_owned()));
                true
            }
            None => false,
        },
        _ => false,
    };
    let Answer::Said(answer) = converse(reach, term, request, hear).await? else {
        return Err(Failed::usage("the farm answered something else", &["farmhand status"]));
    };
    tell(term, &command, &answer, &variables);
    Ok(exit::PASSED)
}

fn tell(term: &Term, command: &BootloaderCommand, answer: &str, variables: &[(String, String)]) {
    let answer = printable(answer);
    match command {
        BootloaderCommand::GetVarAll if term.json => {
            let all: Map<String, Value> =
                variables.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            term.answer(&json::done(json!({ "command": "getvar all", "variables": all })));
        }
        BootloaderCommand::GetVar(name) if term.json => {
            term.answer(&json::done(
                json!({ "command": command.to_string(), "name": name, "value": answer }),
            ));
        }
        _ if term.json => {
            term.answer(&json::done(json!({ "command": command.to_string(), "answer": answer })));
        }
        BootloaderCommand::GetVarAll => {
            for (name, value) in variables {
                term.answer(&format!("{name}: {}", printable(value)));
            }
        }
        BootloaderCommand::GetVar(name) => term.answer(&format!("{name}: {answer}")),
        _ if answer.is_empty() => term.say(&step("okay", &command.to_string(), "", "")),
        _ => term.answer(&answer),
    }
}

async fn devices(reach: &mut Reach, term: &Term) -> Result<u8, Failed> {
    let Answer::Devices(devices) = reach.ask(Request::Devices).await? else { return Ok(exit::PASSED) };
    let here: Vec<_> = devices
        .into_iter()
        .filter(|view| view.driver == farmhand::FASTBOOT && view.state != DeviceState::Absent)
        .collect();
    if term.json {
        term.answer(&json!(here.iter().map(json::device).collect::<Vec<_>>()));
    } else if here.is_empty() {
        term.say("no device is there that speaks fastboot");
    } else {
        term.text(&columns(&here.iter().map(row).collect::<Vec<_>>()));
    }
    Ok(exit::PASSED)
}

/// What `-s` takes, the word of the known tool, and where it is.
fn row(view: &DeviceView) -> Vec<String> {
    let port = view.port.clone().unwrap_or_else(|| "-".into());
    let name = view.serial.clone().or_else(|| view.name.as_ref().map(ToString::to_string));
    vec![name.unwrap_or_else(|| port.clone()), "fastboot".into(), port, view.board.clone()]
}
