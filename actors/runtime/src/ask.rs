//! Asking an actor by its name.

use std::time::Duration;

use ractor::{ActorRef, Message, RpcReplyPort, registry};
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

/// Between two look-ups of a name that is being restarted. Restarts take about a millisecond; the first back-off of
/// the supervisor is 10 ms.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A name that nobody has for so long is not had again: a predecessor's tasks end within 20 s, and the longest back-off
/// of the supervisor is 2 s; doubled. Who waits for one that cannot be kept up hears of it soon, whatever the deadline
/// of the work itself.
const ABSENT_MAX: Duration = Duration::from_secs(45);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AskError {
    /// Nobody had that name within the deadline, or within 45 s of it. It was not done.
    #[error("is not there")]
    Absent,
    /// The actor ended without answering. It may have been done.
    #[error("ended without answering")]
    Ended,
    /// No answer within the deadline. It may have been done, or be done yet.
    #[error("did not answer in time")]
    Deadline,
}

/// Asks an actor for something that is safe to ask again: where the actor ends without answering, its successor is
/// asked, until the deadline.
pub async fn ask<M: Message, R: Send + 'static>(
    name: impl AsRef<str>,
    deadline: Duration,
    message: impl Fn(RpcReplyPort<R>) -> M,
) -> Result<R, AskError> {
    let until = Instant::now() + deadline;
    loop {
        match ask_until(name.as_ref(), until, &message).await {
            Err(AskError::Ended) if Instant::now() + LOOK_AGAIN < until => sleep(LOOK_AGAIN).await,
            answer => return answer,
        }
    }
}

/// Asks an actor once: an answer that does not come is for the caller to settle.
pub async fn ask_once<M: Message, R: Send + 'static>(
    name: impl AsRef<str>,
    deadline: Duration,
    message: impl FnOnce(RpcReplyPort<R>) -> M,
) -> Result<R, AskError> {
    ask_until(name.as_ref(), Instant::now() + deadline, message).await
}

async fn ask_until<M: Message, R: Send + 'static>(
    name: &str,
    until: Instant,
    message: impl FnOnce(RpcReplyPort<R>) -> M,
) -> Result<R, AskError> {
    let actor = resolve::<M>(name, look_until(Instant::now(), until)).await?;
    let (reply, answer) = oneshot::channel();
    // A message that cannot be sent was not received: its actor ended between look-up and send.
    actor.cast(message(reply.into())).map_err(|_| AskError::Ended)?;
    match timeout_at(until, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(AskError::Ended),
        Err(_) => Err(AskError::Deadline),
    }
}

/// Until when a name is looked for.
fn look_until(now: Instant, deadline: Instant) -> Instant {
    deadline.min(now + ABSENT_MAX)
}

async fn resolve<M: Message>(name: &str, until: Instant) -> Result<ActorRef<M>, AskError> {
    loop {
        if let Some(cell) = registry::where_is(name) {
            return Ok(cell.into());
        }
        if Instant::now() + LOOK_AGAIN >= until {
            return Err(AskError::Absent);
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// Tells an actor something that it can ask for again; nothing is promised.
pub fn tell<M: Message>(name: &str, message: M) {
    if let Some(cell) = registry::where_is(name) {
        let _ended_meanwhile = ActorRef::<M>::from(cell).cast(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_not_looked_for_as_long_as_the_work_may_take() {
        let now = Instant::now();
        let (soon, late) = (now + Duration::from_secs(10), now + Duration::from_secs(45 * 60));
        assert_eq!(look_until(now, soon), soon);
        assert_eq!(look_until(now, late), now + ABSENT_MAX);
    }
}
