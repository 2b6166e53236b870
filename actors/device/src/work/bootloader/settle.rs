//! Evidence of a handoff of which nobody knows whether it was done, from a device that speaks fastboot. Nothing is issued,
//! and no byte is sent that a command cut in the middle could take for its own.
//!
//! | what is seen | what it proves |
//! |---|---|
//! | another bootloader answers there: its serial number or its product is not that of the one that was sent the image. One that tells no serial number is told by its product alone: a twin that tells none either is taken for it | nothing: the right one may have booted |
//! | its bootloader answers, in the same stay: the number that its bus gave it is the one that was recorded before the handoff | not started |
//! | an answer that a predecessor left unread: FAIL; and it answers now | not started: it was refused |
//! | an answer that a predecessor left unread: OKAY | complete: it was acknowledged |
//! | it shows itself as what its profile says it becomes | complete |
//! | its console has said what its profile says it says then, in the epoch of this handoff | complete |
//! | all partitions were written, so that the handoff was only to leave it, and it has: it is on the bus as something else, or a host answers at its address that nobody listens there | complete |
//! | its bootloader answers, in another stay, or in one that cannot be told from another (TCP has no number) | nothing: it may have booted and come back |
//! | nothing | nothing |

use std::time::Duration;

use farmhand_api::{EpochCause, LogFrom, LogItem};
use farmhand_messages::SerialMessage;
use farmhand_messages::device::{FastbootWay, HandoffKnown};
use farmhand_messages::serial::PortSpec;
use farmhand_records::v1::{Evidence, FlashProgress, Identity, LoaderStay};
use farmhand_records::{Epoch, SessionId};
use farmhand_runtime::ask;
use farmhand_wire::fastboot::{Reply, USB_INTERFACE};
use nusb::MaybeFuture;
use tokio::time::{Instant, sleep, timeout};

use super::super::{Ended, Tools};
use super::reach::{called, same};
use crate::evidence::Try;
use crate::fastboot::{Client, Presence, Said, State};
use crate::state::Outcome;

/// For a device that was booted to show itself as something else: a kernel is unpacked, and its USB gadget comes up.
/// A phone takes 5 to 20 s.
const BECOMES_WITHIN: Duration = Duration::from_secs(30);
/// For a bootloader that nobody expects to become anything else to be there: a hub enumerates anew within.
const THERE_WITHIN: Duration = Duration::from_secs(5);
/// For the recorder to open a port, or to give what it has.
const SAID_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// To take evidence from a bootloader.
#[derive(Debug)]
pub(crate) struct BootloaderSettling {
    pub(crate) of: Try,
    pub(crate) noted: LoaderStay,
    /// What the session knows of the handoff.
    pub(crate) known: HandoffKnown,
    /// The console's rate.
    pub(crate) baud: u32,
}

impl BootloaderSettling {
    /// Takes it: from [`crate::state::Act::Settle`].
    pub(crate) async fn run(self, tools: Tools, way: FastbootWay) -> Ended {
        let HandoffKnown { epoch, model, steps } = &self.known;
        let banner = model.as_ref().and_then(|model| model.banner.as_deref());
        let next = model.as_ref().map(|model| model.next.as_slice()).unwrap_or_default();
        let begun = match tools.begun_at(&self.of).await {
            Ok(begun) => begun,
            Err(why) => return unknown(format!("who was sent the image cannot be read: {why}")),
        };
        let at = begun.as_ref().map(|begun| &begun.at);
        let has_written = begun.as_ref().is_some_and(|begun| has_written(begun, &self.of, *steps));
        let becomes = !next.is_empty() || banner.is_some();
        let until = Instant::now() + if becomes { BECOMES_WITHIN } else { THERE_WITHIN };
        let evidence = loop {
            let (mut silent, nobody_listens) = match tools.open_bootloader(&way).await {
                Ok(mut client) => match asked(&mut client, &way, &self.noted, at).await {
                    Ok(evidence) => break evidence,
                    Err(why) => (why, false),
                },
                Err(why) => (why.problem(&tools.config.name).message, why.nobody_listens()),
            };
            let shown = shown(&way).await;
            if let Some((id, _)) = shown.iter().find(|(id, _)| next.contains(id)) {
                break Evidence::Complete(format!("it shows itself as {id}, which is what it becomes"));
            }
            if let (Some(banner), Some(epoch)) = (banner, *epoch)
                && tools.has_said(&way, banner, (epoch, self.of.session), self.baud).await
            {
                break Evidence::Complete(format!("its console said {banner:?} in epoch {epoch}"));
            }
            if Instant::now() > until {
                let left = shown.first().filter(|_| shown.iter().all(|(_, bootloader)| !bootloader));
                let left = left.map(|(id, _)| format!("it shows itself as {id}"));
                let left =
                    left.or_else(|| nobody_listens.then(|| "nobody listens at its address any more".into()));
                if let Some(left) = left.filter(|_| has_written) {
                    break Evidence::Complete(format!(
                        "all was written, and it has left its bootloader: {left}"
                    ));
                }
                if becomes {
                    silent.push_str("; and it does not show itself as what it becomes");
                }
                break Evidence::Unknown(silent);
            }
            sleep(LOOK_AGAIN).await;
        };
        settled(evidence)
    }
}

fn settled(evidence: Evidence) -> Ended {
    Outcome::Settled { evidence, line: None, stays: false }.into()
}

fn unknown(why: String) -> Ended {
    settled(Evidence::Unknown(why))
}

/// Whether the handoff was the end of writing so many partitions: then to have left the bootloader is all that it is. A boot
/// has no steps.
fn has_written(begun: &FlashProgress, of: &Try, steps: u32) -> bool {
    begun.plan == of.plan && steps > 0 && begun.done == steps
}

impl Tools {
    /// Whether the console has said this in the epoch of that handoff. It is opened for that: a line apart, which resets
    /// nothing.
    async fn has_said(
        &self,
        way: &FastbootWay,
        banner: &str,
        (epoch, session): (Epoch, SessionId),
        baud: u32,
    ) -> bool {
        let Some(console) = &way.console else { return false };
        if let Some(path) = self.console_path(console).await {
            let spec = PortSpec { path, baud, apart: true };
            // Where the handoff's epoch had not begun there is nothing to hear in it: none is begun for this.
            let open = |reply| SerialMessage::Open {
                spec: spec.clone(),
                current: epoch,
                reset_epoch: epoch.next(),
                reply,
            };
            let position = |reply| SerialMessage::Position { reply };
            let began = ask(&self.serial(), SAID_WITHIN, position).await.is_ok_and(|(_, now)| now == epoch);
            if began && let Ok(Err(error)) = ask(&self.serial(), SAID_WITHIN, open).await {
                tracing::info!(%error, "the console of a device that is asked for evidence");
            }
        }
        let from = LogFrom::Epoch(epoch);
        let read = |reply| SerialMessage::Subscribe { from, follow: false, reply };
        let Ok(mut reader) = ask(&self.serial(), SAID_WITHIN, read).await else { return false };
        let (mut ours, mut said) = (false, Vec::new());
        while let Ok(Some(item)) = timeout(SAID_WITHIN, reader.recv()).await {
            match item {
                LogItem::EpochBegan { epoch: began, cause, .. } if began == epoch => {
                    ours = cause == EpochCause::Handoff(session);
                }
                LogItem::Chunk { epoch: of, bytes, .. } if of == epoch && ours => {
                    said.extend_from_slice(&bytes);
                    if said.windows(banner.len()).any(|some| some == banner.as_bytes()) {
                        return true;
                    }
                    let keep = said.len().saturating_sub(banner.len());
                    said.drain(..keep);
                }
                _ => {}
            }
        }
        false
    }
}

/// What its bootloader says; or why it says nothing. `at`: who was sent the image.
async fn asked(
    client: &mut Client,
    way: &FastbootWay,
    noted: &LoaderStay,
    at: Option<&Identity>,
) -> Result<Evidence, String> {
    // Over a network a number that differs tells of packets, and not of stays.
    let on_bus = way.address.is_none();
    let stay = client.found();
    let presence = client.who_answers().await.map_err(|error| error.to_string())?;
    judge(presence, (stay, noted.starts), on_bus, at)
}

/// What that proves. Of the stay in the bootloader: its number now, and the one before the handoff.
fn judge(
    presence: Presence,
    (stay, noted): (Option<u64>, Option<u64>),
    on_bus: bool,
    at: Option<&Identity>,
) -> Result<Evidence, String> {
    if let (State::Answers { product, serial }, Some(at)) = (&presence.state, at) {
        let now = called(serial.as_deref().unwrap_or_default(), product.as_deref().unwrap_or_default());
        if let Err((is, was)) = same(at, &now) {
            return Ok(Evidence::Unknown(format!("another bootloader answers there: {is}, not {was}")));
        }
    }
    let mut ends = presence.stale.iter().filter_map(|said| match said {
        Said::Reply(Reply::Okay(_)) => Some(Ok(())),
        Said::Reply(Reply::Fail(why)) => Some(Err(why)),
        _ => None,
    });
    let same_stay = stay.is_some() && stay == noted;
    match (presence.state, ends.next_back(), same_stay) {
        (_, Some(Ok(())), true) => {
            Ok(Evidence::Complete("its bootloader had acknowledged it, unheard".into()))
        }
        (State::Answers { .. }, Some(Err(why)), true) => {
            Ok(Evidence::NotStarted(format!("its bootloader had refused it, unheard: {why}")))
        }
        (State::Answers { .. }, None, true) => Ok(Evidence::NotStarted(
            "its bootloader answers, and has not been left since the image was sent".into(),
        )),
        (State::Answers { .. }, _, false) => Ok(Evidence::Unknown(match stay {
            Some(_) if on_bus => {
                "its bootloader answers, and was begun anew since: it may have booted and come back".into()
            }
            _ => "its bootloader answers, and nothing tells whether it was left and begun anew since".into(),
        })),
        (State::Silent, ..) => Err("its bootloader is there, and does not answer".into()),
        (State::Gone, ..) => Err("its bootloader went away".into()),
    }
}

/// What it shows itself as on USB (`vendor:product`), and whether that is a bootloader.
async fn shown(way: &FastbootWay) -> Vec<(String, bool)> {
    let identity = &way.identity;
    if identity.serial.is_none() && identity.port_path.is_none() {
        // It could be any.
        return Vec::new();
    }
    let listed = tokio::task::spawn_blocking(|| nusb::list_devices().wait()).await;
    let Ok(Ok(devices)) = listed else { return Vec::new() };
    let is_it = |device: &nusb::DeviceInfo| {
        let chain: Vec<_> = device.port_chain().iter().map(u8::to_string).collect();
        let port_path = format!("{}-{}", device.busnum(), chain.join("."));
        identity.serial.as_deref().is_none_or(|serial| device.serial_number() == Some(serial))
            && identity.port_path.as_ref().is_none_or(|path| *path == port_path)
    };
    devices
        .filter(is_it)
        .map(|device| {
            let id = format!("{:04x}:{:04x}", device.vendor_id(), device.product_id());
            let mut interfaces = device.interfaces();
            (id, interfaces.any(|it| (it.class(), it.subclass(), it.protocol()) == USB_INTERFACE))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(serial: &str, product: &str, stale: Vec<Said>) -> Presence {
        let told = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Presence { stale, state: State::Answers { product: told(product), serial: told(serial) } }
    }

    /// Guard: `at` in `judge`.
    #[test]
    fn another_bootloaders_answer_proves_nothing() {
        let ours = called("c0ffee", "fajita");
        let in_the_stay = (Some(7), Some(7));
        let refused = || Said::Reply(Reply::Fail("no".into()));
        let done = || Said::Reply(Reply::Okay(String::new()));
        let ours_says =
            |stale| judge(answers("c0ffee", "fajita", stale), in_the_stay, true, Some(&ours)).unwrap();
        assert!(matches!(ours_says(Vec::new()), Evidence::NotStarted(_)));
        assert!(matches!(ours_says(vec![refused()]), Evidence::NotStarted(_)));
        assert!(matches!(ours_says(vec![done()]), Evidence::Complete(_)));
        for (serial, product) in [("decaf", "fajita"), ("c0ffee", "other"), ("", "fajita")] {
            for stale in [Vec::new(), vec![refused()], vec![done()]] {
                let evidence =
                    judge(answers(serial, product, stale), in_the_stay, true, Some(&ours)).unwrap();
                let Evidence::Unknown(why) = evidence else { panic!("{serial} {product}: {evidence:?}") };
                assert!(why.contains("c0ffee (fajita)"), "{why}");
            }
        }
        let nameless = called("", "fajita");
        let twin = judge(answers("", "fajita", Vec::new()), in_the_stay, true, Some(&nameless)).unwrap();
        assert!(matches!(twin, Evidence::NotStarted(_)), "told by its product alone");
    }

    #[test]
    fn another_number_tells_of_a_new_stay_on_a_bus_alone() {
        let says =
            |on_bus| match judge(answers("c0ffee", "fajita", Vec::new()), (Some(8), Some(7)), on_bus, None) {
                Ok(Evidence::Unknown(why)) => why,
                other => panic!("{other:?}"),
            };
        assert!(says(true).contains("was begun anew"));
        assert!(says(false).contains("nothing tells"), "a number over UDP is a packet's");
    }

    #[test]
    fn a_refusal_that_nobody_heard_counts_once_it_is_known_who_is_there() {
        let stale = vec![Said::Reply(Reply::Fail("no".into()))];
        let silent = Presence { stale, state: State::Silent };
        assert!(judge(silent, (Some(7), Some(7)), true, Some(&called("c0ffee", "fajita"))).is_err());
    }

    /// Guards: `steps > 0` and `steps` in `has_written`.
    #[test]
    fn a_boot_has_no_steps_that_could_all_be_written() {
        let plan = farmhand_records::PlanHash([1; 32]);
        let of = Try { session: SessionId(1), attempt: farmhand_records::Attempt(1), plan };
        let device = farmhand_records::DeviceName::new("p").unwrap();
        let (session, attempt, at) = (of.session, of.attempt, called("c0ffee", "fajita"));
        let begun_at = FlashProgress { device, session, attempt, plan, begun: 0, done: 0, at };
        assert!(!has_written(&begun_at, &of, 0));
        let done = |begun, done| FlashProgress { begun, done, ..begun_at.clone() };
        assert!(has_written(&done(2, 2), &of, 2));
        assert!(!has_written(&done(2, 1), &of, 2));
        assert!(!has_written(&done(2, 2), &of, 3), "another is to come");
    }
}
