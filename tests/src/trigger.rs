//! The moment to kill a farm, and how often.

use std::time::Duration;

use farmhand::transport::{Client, Reply};
use farmhand_api::{EventBody, Item, PhaseName, Request};

use crate::Dice;

/// How often a farm is killed, where `FARMHAND_TEST_KILLS` does not say.
const KILLS: usize = 200;
/// After a handoff's intent was told, it is killed within this, in microseconds: a handoff takes a few milliseconds.
const AFTER_INTENT_US_MAX: u64 = 4_000;

/// How often a farm is killed.
#[must_use]
pub fn kills() -> usize {
    std::env::var("FARMHAND_TEST_KILLS").map_or(KILLS, |text| text.parse().expect("kills are a number"))
}

/// When to kill.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So long after the farm's start.
    After(Duration),
    /// So long after a handoff's intent is told: most kills at any time fall elsewhere.
    Intent(Duration),
}

/// A moment, in the life of a farm.
#[derive(Debug, Clone, Copy)]
pub struct Trigger {
    moment: Moment,
    life_us: u64,
}

impl Trigger {
    /// Any moment: `life_us` microseconds after the farm's start at most.
    pub fn roll(dice: &mut Dice, life_us: u64) -> Self {
        let moment = match dice.below(2) {
            0 => Moment::After(Duration::from_micros(dice.below(life_us))),
            _ => Moment::Intent(Duration::from_micros(dice.below(AFTER_INTENT_US_MAX))),
        };
        Self { moment, life_us }
    }

    /// Until it is time. A farm in which no handoff comes is killed all the same.
    pub async fn wait(self, client: &Client) {
        match self.moment {
            Moment::After(time) => tokio::time::sleep(time).await,
            Moment::Intent(time) => {
                let none_comes = Duration::from_micros(2 * self.life_us);
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
