//! Evidence of a handoff of which nobody knows whether it was done. QEMU is asked what it does; nothing is issued.
//!
//! | what is seen | what it proves |
//! |---|---|
//! | the machine that was loaded for this try is held at its first instruction | not started: `prelaunch` is left by the first `cont`, and for good: what resets a machine has the handoff's record before it |
//! | the one that was restored for this try is paused | not started: likewise |
//! | it runs, or has run and is stopped | complete |
//! | there is no machine | nothing: it may have run and ended |

use farmhand_machine::Now;
use farmhand_records::v1::{Evidence, LoaderStay};

use super::super::{Ended, Tools};
use super::GuestFolder;
use crate::state::Outcome;

/// In QEMU's words (QAPI `RunState`).
const PAUSED: &str = "paused";

/// To take evidence from an emulated machine.
#[derive(Debug)]
pub(crate) struct MachineSettling {
    /// The stay in which it was held: of this try, for a later load would have forgotten it.
    pub(crate) noted: LoaderStay,
}

impl MachineSettling {
    /// Takes it: from [`crate::state::Act::Settle`].
    pub(crate) async fn run(self, tools: Tools) -> Ended {
        let settled = |evidence| Outcome::Settled { evidence, line: None, stays: false };
        let found = match tools.the_machine().await {
            Ok(Some(found)) => found,
            Ok(None) => return settled(Evidence::Unknown("its machine is there no more".into())).into(),
            Err(error) => return settled(Evidence::Unknown(error.to_string())).into(),
        };
        let of = &self.noted;
        let evidence = match found.machine().now().await {
            Ok(Now::Held) => Evidence::NotStarted(format!(
                "its machine is held at its first instruction since it was loaded for {}",
                of.session
            )),
            // Nothing but its first `cont` takes it out of that: who saves a machine that runs marks it, and it goes on when it is
            // adopted.
            Ok(Now::Stopped(state)) if state == PAUSED && GuestFolder::of(&tools).was_restored() => {
                Evidence::NotStarted(format!(
                    "its machine was made of a snapshot for {}, and is paused since",
                    of.session
                ))
            }
            Ok(Now::Runs) => Evidence::Complete("its machine runs".into()),
            Ok(Now::Stopped(state)) => Evidence::Complete(format!("its machine has run, and is {state:?}")),
            Err(error) => Evidence::Unknown(error.to_string()),
        };
        Ended { loaded: found.adopted(), ..settled(evidence).into() }
    }
}
