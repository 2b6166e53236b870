//! What the verbs that speak to a bootloader share: where it is, and a conversation with it.

use std::path::Path;
use std::time::Duration;

use farmhand::protocol::{Answer, Event, EventBody, Item, Request};
use farmhand::transport::{ClientError, Reply};
use tokio::time::timeout;

use crate::failed::Failed;
use crate::reach::Reach;
use crate::screen::Screen;
use crate::term::Term;

/// Between two words of a farm: it gives a command up after an hour by itself, so that this is never first.
const STEP: Duration = Duration::from_secs(61 * 60);
/// The port on which fastboot is spoken over TCP and UDP (AOSP, fastboot/README.md).
const PORT: u16 = 5554;

/// A place as the farm writes it: `tcp:HOST` with its port, a USB port path as `usb:1-4.2`; anything else as it is.
pub(crate) fn place(said: &str) -> String {
    if let Some((kind @ ("tcp" | "udp"), to)) = said.split_once(':') {
        // Behind the bracket of an IPv6 address.
        let host = to.rfind(']').map_or(to, |bracket| &to[bracket..]);
        let port = if host.contains(':') || to.is_empty() { String::new() } else { format!(":{PORT}") };
        return format!("{kind}:{to}{port}");
    }
    if is_port_path(said) { format!("usb:{said}") } else { said.to_owned() }
}

/// As the kernel names it: bus, and the chain of ports (`1-4.2`).
fn is_port_path(text: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('-').is_some_and(|(bus, chain)| number(bus) && chain.split('.').all(number))
}

/// A file as the farm sees it, which has another working folder.
pub(crate) fn absolute(path: &Path) -> Result<String, Failed> {
    let path = std::path::absolute(path).map_err(|error| Failed::io(path.display(), &error))?;
    match path.into_os_string().into_string() {
        Ok(text) => Ok(text),
        Err(path) => {
            Err(Failed::usage(format!("{} has a name that is not UTF-8", Path::new(&path).display()), &[]))
        }
    }
}

/// A file that is read, as the farm sees it; and its size in bytes.
pub(crate) fn readable(path: &Path) -> Result<(String, u64), Failed> {
    let about = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failed::usage(format!("there is no file {}", path.display()), &[]),
        _ => Failed::io(path.display(), &error),
    })?;
    if !about.is_file() {
        return Err(Failed::usage(format!("{} is no file", path.display()), &[]));
    }
    Ok((absolute(path)?, about.len()))
}

/// Asks, and shows what is said meanwhile. What `hear` takes is not shown.
pub(crate) async fn converse(
    reach: &mut Reach,
    term: &Term,
    request: Request,
    mut hear: impl FnMut(&EventBody) -> bool,
) -> Result<Answer, Failed> {
    let client = reach.client().await?;
    let mut replies = client.stream(request).await?;
    let mut screen = Screen::new(term);
    let answer = loop {
        let reply = timeout(STEP, replies.next()).await.unwrap_or(Err(ClientError::NoAnswer(STEP)));
        match reply {
            Ok(Some(Reply::Item(Item::Event(event)))) => {
                let Event { body, .. } = event.as_ref();
                if !hear(body) {
                    screen.event(&event);
                }
            }
            Ok(Some(Reply::Item(Item::Log(_) | Item::Guest { .. }))) => {}
            Ok(Some(Reply::Done(answer))) => break Ok(answer),
            Ok(None) => break Err(ClientError::Lost),
            Err(error) => break Err(error),
        }
    };
    screen.end();
    Ok(answer?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_written_as_the_farm_writes_it() {
        let cases = [
            ("tcp:lab", "tcp:lab:5554"),
            ("udp:10.0.0.2:99", "udp:10.0.0.2:99"),
            ("tcp:[::1]", "tcp:[::1]:5554"),
            ("1-4.2", "usb:1-4.2"),
            ("usb:1-4", "usb:1-4"),
            ("phone-1", "phone-1"),
            ("1-4a", "1-4a"),
            ("c0ffee", "c0ffee"),
        ];
        for (said, want) in cases {
            assert_eq!(place(said), want);
        }
    }
}
