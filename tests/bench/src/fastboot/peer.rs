//! Debian's `fastboot`.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Work;
use crate::Failure;
use crate::set_up::{Tool, succeed_saying};

/// Does it; how long it says that it sent and wrote, and how long it took from start to exit. The first leaves out that it
/// starts, and that it reads the image's length.
pub(crate) fn run(
    fastboot: &Tool,
    address: &str,
    work: Work,
    image: &Path,
) -> Result<(Duration, Duration), Failure> {
    let mut command = fastboot.command();
    if let Some(package) = &fastboot.package {
        // Debian's programs name the folder of their own libraries, below the usual one, from the root on.
        let usual = package.environment.get("LD_LIBRARY_PATH").map(String::as_str).unwrap_or_default();
        let own: Vec<_> = usual.split(':').map(|folder| format!("{folder}/android:{folder}")).collect();
        command.env("LD_LIBRARY_PATH", own.join(":"));
    }
    command.args(["-s", address]);
    match work {
        Work::Stage => command.arg("stage"),
        Work::Flash => command.args(["flash", "userdata"]),
    };
    command.arg(image);
    let begun = Instant::now();
    let said = succeed_saying(&mut command)?;
    let whole = begun.elapsed();
    // `Sending 'image' (262144 KB)          OKAY [  0.321s]`
    let times = said.split("OKAY [").skip(1).filter_map(|rest| rest.split_once("s]")?.0.trim().parse().ok());
    let sent: Vec<f64> = times.collect();
    let commands = if work == Work::Stage { 1 } else { 2 };
    if sent.len() != commands {
        return Err(format!("fastboot does not say how long it took: {said}").into());
    }
    Ok((Duration::from_secs_f64(sent.iter().sum()), whole))
}
