//! Evidence of a handoff of which nobody knows whether it was done, from a device that speaks fastboot. Nothing is issued,
//! and no byte is sent that a command cut in the middle could take for its own.
//!
//! | what is seen | what it proves |
//! |---|---|
//! | its bootloader answers, in the same stay: the number that its bus gave it is the one that was recorded before the handoff | not started |
//! | an answer that a predecessor left unread: FAIL | not started: it was refused |
//! | an answer that a predecessor left unread: OKAY | complete: it was acknowledged |
//! | it shows itself as what its profile says it becomes | complete |
//! | its bootloader answers, in another stay, or in one that cannot be told from another (TCP has no number) | nothing: it may have booted and come back |
//! | nothing | nothing |

use std::time::Duration;

use farmhand_messages::device::FastbootWay;
use farmhand_records::v1::{Evidence, LoaderStay};
use farmhand_wire::fastboot::Reply;
use nusb::MaybeFuture;
use tokio::time::{Instant, sleep};

use super::super::{Ended, Tools};
use crate::fastboot::{Client, Said, State};
use crate::state::Outcome;

/// For a device that was booted to show itself as something else: a kernel is unpacked, and its USB gadget comes up.
/// A phone takes 5 to 20 s.
const BECOMES_WITHIN: Duration = Duration::from_secs(30);
/// For a bootloader that nobody expects to become anything else to be there: a hub enumerates anew within.
const THERE_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Takes it: from [`crate::state::Act::Settle`].
pub(crate) async fn settle(tools: Tools, way: FastbootWay, noted: LoaderStay) -> Ended {
    let becomes = way.profile.as_ref().is_some_and(|profile| !profile.next.is_empty());
    let until = Instant::now() + if becomes { BECOMES_WITHIN } else { THERE_WITHIN };
    let evidence = loop {
        let mut silent = match tools.open_bootloader(&way).await {
            Ok(mut client) => match asked(&mut client, &noted).await {
                Ok(evidence) => break evidence,
                Err(why) => why,
            },
            Err(problem) => problem.message.clone(),
        };
        if let Some(shown) = became(&way).await {
            break Evidence::Complete(format!("it shows itself as {shown}, which is what it becomes"));
        }
        if Instant::now() > until {
            if becomes {
                silent.push_str("; and it does not show itself as what it becomes");
            }
            break Evidence::Unknown(silent);
        }
        sleep(LOOK_AGAIN).await;
    };
    Outcome::Settled { evidence, line: None, stays: false }.into()
}

/// What its bootloader says; or why it says nothing.
async fn asked(client: &mut Client, noted: &LoaderStay) -> Result<Evidence, String> {
    let before = client.found();
    let presence = client.who_answers().await.map_err(|error| error.to_string())?;
    let mut ends = presence.stale.iter().filter_map(|said| match said {
        Said::Reply(reply @ (Reply::Okay(_) | Reply::Fail(_))) => Some(reply),
        _ => None,
    });
    let same = before.is_some() && before == noted.starts;
    match (presence.state, ends.next_back(), same) {
        (_, Some(Reply::Fail(why)), true) => {
            Ok(Evidence::NotStarted(format!("its bootloader had refused it, unheard: {why}")))
        }
        (_, Some(_), true) => Ok(Evidence::Complete("its bootloader had acknowledged it, unheard".into())),
        (State::Answers { .. }, None, true) => Ok(Evidence::NotStarted(
            "its bootloader answers, and has not been left since the image was sent".into(),
        )),
        (State::Answers { .. }, _, false) => Ok(Evidence::Unknown(match before {
            Some(_) => {
                "its bootloader answers, and was begun anew since: it may have booted and come back".into()
            }
            None => {
                "its bootloader answers, and nothing tells whether it was left and begun anew since".into()
            }
        })),
        (State::Silent, None, _) | (State::Silent, _, false) => {
            Err("its bootloader is there, and does not answer".into())
        }
        (State::Gone, None, _) | (State::Gone, _, false) => Err("its bootloader went away".into()),
    }
}

/// What it shows itself as, where that is what its profile says that it becomes.
async fn became(way: &FastbootWay) -> Option<String> {
    let next = &way.profile.as_ref()?.next;
    let identity = &way.identity;
    if identity.serial.is_none() && identity.port_path.is_none() {
        // It could be any.
        return None;
    }
    let devices = tokio::task::spawn_blocking(|| nusb::list_devices().wait()).await.ok()?.ok()?;
    let is_it = |device: &nusb::DeviceInfo| {
        let chain: Vec<_> = device.port_chain().iter().map(u8::to_string).collect();
        let port_path = format!("{}-{}", device.busnum(), chain.join("."));
        identity.serial.as_deref().is_none_or(|serial| device.serial_number() == Some(serial))
            && identity.port_path.as_ref().is_none_or(|path| *path == port_path)
    };
    devices
        .filter(is_it)
        .map(|device| format!("{:04x}:{:04x}", device.vendor_id(), device.product_id()))
        .find(|id| next.contains(id))
}
