//! Simulated devices as processes of their own.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use farmhand_sim::fastboot::{FastbootArgs, serve};

#[derive(Parser)]
#[command(about, version)]
struct Cli {
    #[command(subcommand)]
    device: Device,
}

#[derive(Subcommand)]
enum Device {
    /// A phone in its bootloader, that speaks fastboot
    Fastboot(Box<FastbootArgs>),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Device::Fastboot(args) = Cli::parse().device;
    let show = |line: &str| {
        let mut out = std::io::stdout().lock();
        // Nobody reads it any more: the phone goes on.
        let _closed = writeln!(out, "{line}").and_then(|()| out.flush());
    };
    match serve((*args).into(), show).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _closed = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}
