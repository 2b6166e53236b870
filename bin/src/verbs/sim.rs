//! `sim`: a device that is not there, to try everything on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use farmhand::protocol::ProblemClass;
use farmhand_sim::fastboot::{FastbootArgs, serve};

use super::block_on;
use crate::exit;
use crate::failed::Failed;
use crate::term::Term;

/// In the foreground, until Ctrl-C. Where it listens is the answer; what it is asked is told beside it.
pub(crate) fn fastboot(term: &Term, args: &FastbootArgs) -> Result<u8, Failed> {
    let told = term.clone();
    // The phone has a copy of what shows it: both know when it is ready.
    let ready = Arc::new(AtomicBool::new(false));
    let show = move |line: &str| {
        if ready.load(Ordering::Relaxed) {
            return told.say(&told.dim(&format!("  {line}")));
        }
        told.answer(&line);
        match line.split_once(' ') {
            Some((kind @ ("tcp" | "udp"), address)) => {
                told.say(&format!("  try: farmhand fastboot -s {kind}:{address} getvar all"));
            }
            _ if line == "ready" => {
                ready.store(true, Ordering::Relaxed);
                told.say("  Ctrl-C ends it; what it is asked:");
            }
            _ => {}
        }
    };
    let served = block_on(async move { Ok(serve(args.clone().into(), show).await) })?;
    served.map_err(|error| {
        let help = ["another address: --tcp 127.0.0.1:0 is any port that is free"];
        Failed::new(ProblemClass::Infra, "F850", format!("the simulated device: {error}"), &help)
    })?;
    Ok(exit::PASSED)
}
