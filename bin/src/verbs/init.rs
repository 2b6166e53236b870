//! `init`: a project's settings, or a device of the farm.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use farmhand::config::append_device;
use farmhand::protocol::{Answer, DeviceName, DeviceState, DeviceView, ProblemClass, Request};
use farmhand::{DeviceEntry, FASTBOOT, Match, STK500V1, UNO};
use serde_json::json;

use super::bootloader::place;
use super::with_farm;
use crate::args::Cli;
use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::project;
use crate::reach::Reach;
use crate::term::Term;

/// Boards by the USB ids that Arduino's own `boards.txt` gives them; clones carry a bridge's id, which says nothing.
const KNOWN: &[(&str, &str)] =
    &[("2341:0043", UNO), ("2341:0001", UNO), ("2a03:0043", UNO), ("2341:0243", UNO)];
/// Why the board is the one that it is, where nothing says which.
const NOT_KNOWN: &str = "no board is plugged in; farmhand has a virtual one";
/// A sketch to begin with, where there is none.
const SKETCH: &str = "\
void setup() {
  Serial.begin(115200);
}

void loop() {
  static int count = 0;
  Serial.print(\"hello \");
  Serial.println(++count);
  delay(500);
}
";

pub(crate) fn run(
    cli: &Cli,
    term: &Term,
    path: Option<&Path>,
    board: Option<&str>,
    force: bool,
) -> Result<u8, Failed> {
    let folder = path.or(cli.global.project_dir.as_deref()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(Failed::usage(format!("there is no folder {}", folder.display()), &[]));
    }
    let file = folder.join("farmhand.toml");
    if file.exists() && !force {
        let help = ["farmhand init --force writes over it"];
        return Err(Failed::usage(format!("{} is there already", shown(&file)), &help));
    }
    let (board, why) = match board {
        Some(board) => (board.to_owned(), "as you said"),
        None => with_farm(cli, async |reach| Ok(plugged_board(reach, term).await))?,
    };
    let sources = Sources::of(folder);
    if let (NOT_KNOWN, Sources::Tree(_), Some(script)) = (why, &sources, script_in(folder)) {
        let message = format!("which board is this for? {script} says that it needs no core");
        let help = [
            "farmhand init --board qemu:riscv32-virt, one of QEMU's machines",
            "or bare:esp8266, a chip; README, \"A program without a core\", has them all",
        ];
        return Err(Failed::usage(message, &help));
    }
    let text = settings(&board, &sources);
    if cli.global.dry_run {
        term.text(&text);
        return Ok(exit::PASSED);
    }
    let mut made = Vec::new();
    if sources == Sources::None {
        let sketch = new_sketch(folder)?;
        fs::write(&sketch, SKETCH).map_err(|error| Failed::io(shown(&sketch), &error))?;
        made.push(sketch);
    }
    write(&file, &text, force).map_err(|error| Failed::io(shown(&file), &error))?;
    made.push(file);
    if term.json {
        term.answer(&json::done(json!({ "board": board, "files": made })));
        return Ok(exit::PASSED);
    }
    for file in made {
        term.answer(&format!("wrote  {}", shown(&file)));
    }
    term.say(&format!("  board    {board} ({why})"));
    term.say("  next: farmhand run");
    Ok(exit::PASSED)
}

fn shown(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}

fn write(file: &Path, text: &str, force: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true);
    // Not over what somebody else wrote meanwhile.
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    options.open(file)?.write_all(text.as_bytes())
}

/// The board that is plugged in, if it can be told; else the one that farmhand has a virtual one of.
async fn plugged_board(reach: &mut Reach, term: &Term) -> (String, &'static str) {
    let devices = match reach.ask(Request::Devices).await {
        Ok(Answer::Devices(devices)) => devices,
        Ok(_) => Vec::new(),
        Err(failed) => {
            // Settings can be written without a farm.
            term.say(&format!("  device   what is plugged in is not known: {}", failed.0.message));
            Vec::new()
        }
    };
    let claimed = devices
        .iter()
        .find(|view| view.name.is_some() && view.state != DeviceState::Absent && !view.virtual_);
    if let Some(view) = claimed {
        return (view.board.clone(), "the farm has one");
    }
    match devices.iter().find_map(known_board) {
        Some(board) => (board.to_owned(), "it is plugged in"),
        None => (UNO.to_owned(), NOT_KNOWN),
    }
}

fn known_board(view: &DeviceView) -> Option<&'static str> {
    KNOWN.iter().find(|(id, _)| *id == view.board).map(|(_, board)| *board)
}

/// What there is to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sources {
    Sketch,
    Tree(&'static str),
    Cargo,
    Make,
    None,
}

impl Sources {
    fn of(folder: &Path) -> Self {
        let has = |folder: &Path, kinds: &[&str]| {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let mut kinds_there =
                entries.filter_map(|entry| entry.path().extension()?.to_str().map(str::to_owned));
            kinds_there.any(|kind| kinds.contains(&kind.as_str()))
        };
        let tree = ["c", "cc", "cpp", "cxx", "S"];
        match () {
            () if has(folder, &["ino"]) => Self::Sketch,
            () if folder.join("Cargo.toml").is_file() => Self::Cargo,
            () if folder.join("Makefile").is_file() => Self::Make,
            () if has(folder, &tree) => Self::Tree("."),
            () if has(&folder.join("src"), &tree) => Self::Tree("src"),
            () => Self::None,
        }
    }
}

/// The linker script of a folder's program.
fn script_in(folder: &Path) -> Option<String> {
    let entries = [folder.to_owned(), folder.join("src")].map(fs::read_dir).into_iter().flatten();
    let mut paths: Vec<_> = entries.flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let script = paths.iter().find(|path| path.extension().is_some_and(|end| end == "ld"))?;
    Some(script.file_name()?.to_string_lossy().into_owned())
}

fn settings(board: &str, sources: &Sources) -> String {
    let build = match sources {
        Sources::Sketch | Sources::None => "sketch = \".\"".to_owned(),
        Sources::Tree(folder) => format!("source = \"{folder}\""),
        Sources::Cargo => "command = \"cargo build --release\"\nartifact = \"target/TARGET/release/NAME\"   # where it leaves the program".into(),
        Sources::Make => "command = \"make\"\nartifact = \"NAME.elf\"   # where it leaves the program".into(),
    };
    let expect = match sources {
        Sources::None => "expect = [\"hello 3\"]",
        _ => "# expect = [\"ready\"]",
    };
    let mut text = String::new();
    let _infallible = write!(
        text,
        "board = {board}\n\n[build]\n{build}\n\n[test]\n\
         # Regular expressions that the board's output must match, in order.\n\
         {expect}\ntimeout = \"20s\"\n\n[monitor]\nbaud = 115200\n",
        board = toml::Value::from(board),
    );
    text
}

/// A sketch has its folder's name (Arduino's sketch specification).
fn new_sketch(folder: &Path) -> Result<PathBuf, Failed> {
    let real = folder.canonicalize().map_err(|error| Failed::io(folder.display(), &error))?;
    let name = real.file_name().map_or_else(|| "sketch".into(), |name| name.to_string_lossy().into_owned());
    Ok(folder.join(format!("{name}.ino")))
}

/// Adds what is on a port to the farm's devices.
pub(crate) fn add(
    cli: &Cli,
    term: &Term,
    port: &str,
    name: Option<DeviceName>,
    board: Option<&str>,
) -> Result<u8, Failed> {
    if let Some(matching) = over_network(port) {
        return enter(cli, term, port, &bootloader(port, name, board, matching)?);
    }
    let view = with_farm(cli, async |reach| on_port(reach, port).await)?;
    if let Some(view) = view.as_ref().filter(|view| view.driver == FASTBOOT) {
        // What it is, whichever mode it is in; where it says no number, where it is plugged in.
        let (serial, place) = (view.serial.clone(), port.to_owned());
        let port_path = serial.is_none().then_some(place);
        let matching = Match { serial, port_path, ..Match::default() };
        return enter(cli, term, port, &bootloader(port, name, board, matching)?);
    }
    let board = board.map(str::to_owned).or_else(|| view.as_ref().and_then(known_board).map(str::to_owned));
    let board = board.ok_or_else(|| {
        let message = format!("what is on {port} does not say which board it is");
        Failed::new(ProblemClass::Usage, "F002", message, &["--board arduino:avr:uno"])
    })?;
    let is_path = port.starts_with('/');
    let matching = Match {
        usb: view.as_ref().map(|view| vec![view.board.clone()]).unwrap_or_default(),
        serial: None,
        port_path: (!is_path).then(|| port.to_owned()),
        port: is_path.then(|| port.to_owned()),
        ..Match::default()
    };
    let name = match name {
        Some(name) => name,
        None => name_for(&board, port)?,
    };
    let entry = DeviceEntry {
        name,
        board,
        driver: STK500V1.into(),
        matching,
        count: None,
        allow: Vec::new(),
        console: None,
    };
    enter(cli, term, port, &entry)
}

/// A device over a network: `tcp:HOST`, `udp:HOST`.
fn over_network(port: &str) -> Option<Match> {
    let place = place(port);
    match place.split_once(':')? {
        ("tcp", to) => Some(Match { tcp: Some(to.to_owned()), ..Match::default() }),
        ("udp", to) => Some(Match { udp: Some(to.to_owned()), ..Match::default() }),
        _ => None,
    }
}

fn bootloader(
    port: &str,
    name: Option<DeviceName>,
    board: Option<&str>,
    matching: Match,
) -> Result<DeviceEntry, Failed> {
    let board = board.unwrap_or(FASTBOOT).to_owned();
    let name = match name {
        Some(name) => name,
        None => name_for(&board, &port.replace([':', '[', ']'], "-"))?,
    };
    Ok(DeviceEntry::bootloader(name, board, matching))
}

fn enter(cli: &Cli, term: &Term, port: &str, entry: &DeviceEntry) -> Result<u8, Failed> {
    let home = project::home(&cli.global)?;
    let file = home.join("farm.toml");
    if cli.global.dry_run {
        term.answer(&format!("would add  {} ({}) on {port} to {}", entry.name, entry.board, file.display()));
        return Ok(exit::PASSED);
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&home);
    made.map_err(|error| Failed::io(home.display(), &error))?;
    append_device(&file, entry)?;
    if term.json {
        term.answer(&json::done(
            json!({ "device": entry.name.as_str(), "board": entry.board, "file": file }),
        ));
    } else {
        term.answer(&format!("added  {} ({}) on {port} to {}", entry.name, entry.board, file.display()));
        term.say("  next: farmhand stop   (the next command starts the farm with it)");
    }
    Ok(exit::PASSED)
}

/// What is there and nobody's. A device file that is not on USB is not listed, and is taken as it is said.
async fn on_port(reach: &mut Reach, port: &str) -> Result<Option<DeviceView>, Failed> {
    let Answer::Devices(devices) = reach.ask(Request::Devices).await? else { return Ok(None) };
    let there: Vec<_> = devices.into_iter().filter(|view| view.port.as_deref() == Some(port)).collect();
    if let Some(name) = there.iter().find_map(|view| view.name.clone()) {
        return Err(Failed::usage(format!("{port} is {name} already"), &["farmhand devices"]));
    }
    let unclaimed = there.into_iter().find(|view| view.state == DeviceState::Unclaimed);
    if unclaimed.is_none() && !Path::new(port).exists() {
        let message = format!("nothing is plugged in on {port}");
        return Err(Failed::new(ProblemClass::NoDevice, "F202", message, &["farmhand devices"]));
    }
    Ok(unclaimed)
}

/// `arduino:avr:uno` on 1-4.3 is `uno-1-4.3`; on /dev/ttyS0, `uno-ttyS0`.
fn name_for(board: &str, port: &str) -> Result<DeviceName, Failed> {
    let kind = board.rsplit(':').next().unwrap_or(board);
    let place = port.rsplit('/').next().unwrap_or(port);
    DeviceName::new(format!("{kind}-{place}"))
        .map_err(|error| Failed::usage(error.to_string(), &["--name NAME"]))
}

#[cfg(test)]
mod tests {
    use farmhand::config::{Config, Project, Sources as Read};
    use farmhand::protocol::Goal;

    use super::*;

    #[test]
    fn what_is_written_is_a_job() {
        for (files, ok) in [(&["a.ino"][..], true), (&["main.c"], true), (&["src/main.cpp"], true)] {
            let folder = tempfile::tempdir().unwrap();
            for file in files {
                fs::create_dir_all(folder.path().join(file).parent().unwrap()).unwrap();
                fs::write(folder.path().join(file), "").unwrap();
            }
            fs::write(folder.path().join("farmhand.toml"), settings(UNO, &Sources::of(folder.path())))
                .unwrap();
            let config =
                Config::load(&Read { project: Some(folder.path().into()), ..Read::default() }).unwrap();
            let project = Project { folder: folder.path().into(), artifact: None };
            assert_eq!(config.job(&project, Goal::Run).is_ok(), ok, "{files:?}");
        }
        for sources in [Sources::Cargo, Sources::Make, Sources::None] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("farmhand.toml"), settings(UNO, &sources)).unwrap();
            Config::load(&Read { project: Some(folder.path().into()), ..Read::default() }).unwrap();
        }
    }
}
