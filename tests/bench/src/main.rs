//! How fast farmhand is, each measurement against a peer in the same run. See `tests/bench/README.md`.
//!
//! A benchmark gates nothing: a goal that is missed is a line in the report.
#![allow(clippy::print_stdout, reason = "the report is the answer")]

mod ask;
mod build;
mod daemon;
mod fastboot;
mod install;
mod programs;
mod report;
mod set_up;
mod stats;
mod store;
mod upload;
mod usb;
mod vm;

use std::path::PathBuf;
use std::process::ExitCode;

use report::Report;
use set_up::SetUp;

/// Why there are no figures; in words, for people.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What can be measured, by name.
const NAMES: [&str; 11] =
    ["noop", "build", "edit", "many", "install", "upload", "fastboot", "store", "ask", "usb", "vm"];

#[tokio::main]
async fn main() -> ExitCode {
    let mut wanted: Vec<String> = std::env::args().skip(1).collect();
    if let [first, words @ ..] = wanted.as_slice()
        && first == usb::IN_THE_GUEST
    {
        return usb::in_the_guest(words).await;
    }
    if let Some(unknown) = wanted.iter().find(|name| !NAMES.contains(&name.as_str())) {
        eprintln!("{unknown}: there is no such measurement; there are: {}", NAMES.join(" "));
        return ExitCode::from(2);
    }
    if wanted.is_empty() {
        wanted = NAMES.map(str::to_owned).into();
    }
    let mut code = ExitCode::SUCCESS;
    for name in wanted {
        match measure(&name).await {
            Ok(reports) => reports.iter().for_each(|report| println!("{}", report.text())),
            Err(failure) => {
                println!("{name}: not measured: {failure}\n");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

async fn measure(name: &str) -> Result<Vec<Report>, Failure> {
    let set_up = SetUp { folder: folder() };
    std::fs::create_dir_all(&set_up.folder)?;
    match name {
        "store" => Ok(vec![store::run(&set_up.folder).await?]),
        "noop" => Ok(vec![build::unchanged(&set_up).await?]),
        "build" => Ok(vec![build::cold(&set_up).await?]),
        "edit" => Ok(vec![build::edit(&set_up).await?]),
        "many" => Ok(vec![build::many(&set_up).await?]),
        "install" => Ok(vec![install::run(&set_up.folder).await?]),
        "ask" => Ok(vec![ask::run(&set_up).await?]),
        "fastboot" => fastboot::run(&set_up).await,
        "upload" => upload::run(&set_up).await,
        "usb" => Ok(vec![usb::run().await?]),
        "vm" => vm::run(&set_up).await,
        other => unreachable!("{other} was looked up in the list of names"),
    }
}

/// Beside the programs that are measured: a disk, where `/tmp` may be memory.
fn folder() -> PathBuf {
    let target =
        std::env::current_exe().ok().and_then(|program| Some(program.parent()?.parent()?.to_owned()));
    target.unwrap_or_else(std::env::temp_dir).join("bench")
}
