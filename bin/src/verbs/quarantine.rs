//! `quarantine --lift`.

use farmhand::protocol::{Answer, DeviceName, DeviceState, ProblemClass, Request};
use serde_json::json;

use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::reach::Reach;
use crate::term::Term;

pub(crate) async fn lift(reach: &mut Reach, term: &Term, device: &DeviceName) -> Result<u8, Failed> {
    let was_aside = is_aside(reach, device).await?;
    reach.ask(Request::Unquarantine(device.clone())).await?;
    match (term.json, was_aside) {
        (true, _) => {
            term.answer(&json::done(json!({ "device": device.as_str(), "was_quarantined": was_aside })));
        }
        (false, true) => term.answer(&format!("{device} is given back")),
        (false, false) => term.answer(&format!("{device} was not set aside")),
    }
    Ok(exit::PASSED)
}

/// Whether it is set aside; a farm would lift what it does not know as readily.
async fn is_aside(reach: &mut Reach, device: &DeviceName) -> Result<bool, Failed> {
    let Answer::Devices(devices) = reach.ask(Request::Devices).await? else { return Ok(false) };
    let known = devices.iter().find(|view| view.name.as_ref() == Some(device));
    known.map(|view| view.state == DeviceState::Quarantined).ok_or_else(|| {
        let message = format!("no device is called {device}");
        Failed::new(ProblemClass::NoDevice, "F201", message, &["farmhand devices"])
    })
}
