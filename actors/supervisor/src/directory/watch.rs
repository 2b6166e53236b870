//! Hot-plug: what comes and goes is heard of as it does, where udev runs; elsewhere it is looked for.

use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use farmhand_messages::DirectoryMessage;
use futures_core::Stream;
use nusb::hotplug::HotplugEvent;
use ractor::ActorRef;
use tokio::time::{Instant, sleep, timeout_at};

/// Where udev is asked to do things: it is there where udev runs (udev.7).
const UDEV: &str = "/run/udev/control";
/// A device that comes has several nodes, and udev sets their rights one after the other: looked at once it is calm,
/// or so much later.
const CALM: Duration = Duration::from_millis(30);
/// At the latest: of a flapping cable something is seen, too.
const LATEST: Duration = Duration::from_millis(250);

/// Whether anybody tells of what comes and goes.
pub(crate) fn udev_runs() -> bool {
    Path::new(UDEV).exists()
}

/// Has the directory look whenever something came or went. Ends where nobody tells of it.
pub(crate) async fn watch(directory: ActorRef<DirectoryMessage>) {
    // Registered before the first look that it leads to: nothing falls between.
    let mut watch = match nusb::watch_devices() {
        Ok(watch) => watch,
        Err(error) => {
            tracing::info!(%error, "hot-plug is not told of here; it is looked for");
            return;
        }
    };
    while directory.cast(DirectoryMessage::Look).is_ok() {
        if next(&mut watch).await.is_none() {
            return;
        }
        let latest = Instant::now() + LATEST;
        loop {
            let calm = sleep(CALM);
            tokio::pin!(calm);
            tokio::select! {
                () = &mut calm => break,
                more = timeout_at(latest, next(&mut watch)) => match more {
                    Ok(Some(_)) => {}
                    Ok(None) => return,
                    Err(_) => break,
                },
            }
        }
    }
}

async fn next(watch: &mut (impl Stream<Item = HotplugEvent> + Unpin)) -> Option<HotplugEvent> {
    poll_fn(|cx| Pin::new(&mut *watch).poll_next(cx)).await
}
