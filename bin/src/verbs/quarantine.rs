//! `quarantine --lift`.

use farmhand::protocol::{DeviceName, Request};
use serde_json::json;

use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::reach::Reach;
use crate::term::Term;

pub(crate) async fn lift(reach: &mut Reach, term: &Term, device: &DeviceName) -> Result<u8, Failed> {
    reach.ask(Request::Unquarantine(device.clone())).await?;
    match term.json {
        true => term.answer(&json::done(json!({ "device": device.as_str() }))),
        false => term.answer(&format!("{device} is given back")),
    }
    Ok(exit::PASSED)
}
