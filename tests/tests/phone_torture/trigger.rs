//! The moment to kill.

use std::time::Duration;

use farmhand::transport::{Client, Reply};
use farmhand_api::{EventBody, Item, PhaseName, Request};
use farmhand_tests::Dice;

/// A farm is killed so long after its start at most, in microseconds: a session takes about a tenth of a second.
const LIFE_US_MAX: u64 = 600_000;
/// After a handoff's intent was told, it is killed within this, in microseconds: a handoff takes a few milliseconds.
const AFTER_INTENT_US_MAX: u64 = 4_000;

/// When to kill.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trigger {
    /// So long after the farm's start.
    After(Duration),
    /// So long after a handoff's intent is told.
    Intent(Duration),
}

impl Trigger {
    pub(crate) fn roll(dice: &mut Dice) -> Self {
        if dice.below(2) == 0 {
            Self::After(Duration::from_micros(dice.below(LIFE_US_MAX)))
        } else {
            Self::Intent(Duration::from_micros(dice.below(AFTER_INTENT_US_MAX)))
        }
    }

    /// Until it is time. A farm in which no handoff comes is killed all the same.
    pub(crate) async fn wait(self, client: &Client) {
        match self {
            Self::After(time) => tokio::time::sleep(time).await,
            Self::Intent(time) => {
                let none_comes = Duration::from_micros(2 * LIFE_US_MAX);
                if tokio::time::timeout(none_comes, intent(client)).await.is_ok() {
                    tokio::time::sleep(time).await;
                }
            }
        }
    }
}

/// Until a handoff's intent is told. Intents of before the farm's start are not: they are what it resolves now.
async fn intent(client: &Client) {
    let mut replies = client.stream(Request::Events { after: None, session: None }).await.unwrap();
    let mut resolved = false;
    loop {
        match replies.next().await {
            Ok(Some(Reply::Item(Item::Event(event)))) => {
                resolved |= event.body == EventBody::Phase(PhaseName::Transferring);
                if event.body == EventBody::Phase(PhaseName::HandoffIntended) && resolved {
                    return;
                }
            }
            other => panic!("events of a farm that is there, and {other:?}"),
        }
    }
}
