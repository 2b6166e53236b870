//! Asking an actor by its name.

use std::time::Duration;

use ractor::{ActorRef, Message, RpcReplyPort, registry};
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

/// Between two look-ups of a name that is being restarted. Restarts take about a millisecond; the first back-off of
/// the supervisor is 10 ms.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AskError {
    /// Nobody had that name within the deadline. It was not done.
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
    let actor = resolve::<M>(name, until).await?;
    let (reply, answer) = oneshot::channel();
    // A message that cannot be sent was not received: its actor ended between look-up and send.
    actor.cast(message(reply.into())).map_err(|_| AskError::Ended)?;
    match timeout_at(until, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(AskError::Ended),
        Err(_) => Err(AskError::Deadline),
    }
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
