//! Asking an actor by its name.

use std::time::Duration;

use ractor::{ActorRef, Message, RpcReplyPort, registry};
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

/// Between two look-ups of a name that is being restarted. Restarts take about a millisecond; the first back-off of
/// the supervisor is 10 ms.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A name that nobody has for so long is not had again: a predecessor's tasks end within 20 s, and the longest back-off
/// of the supervisor is 2 s; doubled. Who waits for one that cannot be kept up hears of it soon, whatever the deadline
/// of the work itself.
const ABSENT_MAX: Duration = Duration::from_secs(45);

/// A deadline is counted in slices: what a stop of the process can take of it.
const SLICE: Duration = Duration::from_millis(500);

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

/// What is left of a deadline, in time in which this process ran. A process that was stopped, or whose machine slept,
/// wakes up with all its timers due: an answer that nobody was there to give is not late.
#[derive(Debug)]
struct Patience {
    left: Duration,
}

impl Patience {
    fn new(deadline: Duration) -> Self {
        Self { left: deadline }
    }

    fn is_out(&self) -> bool {
        self.left.is_zero()
    }

    /// Waits for it as long as there is patience. A slice that took longer counts for no more than a slice.
    async fn wait<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        while !self.is_out() {
            let slice = self.left.min(SLICE);
            let since = Instant::now();
            let done = timeout(slice, &mut work).await;
            self.left -= since.elapsed().min(slice);
            if let Ok(done) = done {
                return Some(done);
            }
        }
        None
    }
}

/// Waits for it so long, in time in which this process ran; nothing where that is over before it is done.
pub async fn patiently<T>(deadline: Duration, work: impl Future<Output = T>) -> Option<T> {
    Patience::new(deadline).wait(work).await
}

/// Asks an actor for something that is safe to ask again: where the actor ends without answering, its successor is
/// asked, until the deadline.
pub async fn ask<M: Message, R: Send + 'static>(
    name: impl AsRef<str>,
    deadline: Duration,
    message: impl Fn(RpcReplyPort<R>) -> M,
) -> Result<R, AskError> {
    let mut patience = Patience::new(deadline);
    loop {
        match ask_within(name.as_ref(), &mut patience, &message).await {
            Err(AskError::Ended) if patience.wait(sleep(LOOK_AGAIN)).await.is_some() => {}
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
    ask_within(name.as_ref(), &mut Patience::new(deadline), message).await
}

/// Asks this very actor, once: one that has ended has no successor to wait for.
pub async fn ask_this<M: Message, R: Send + 'static>(
    actor: &ActorRef<M>,
    deadline: Duration,
    message: impl FnOnce(RpcReplyPort<R>) -> M,
) -> Result<R, AskError> {
    answer_of(actor, &mut Patience::new(deadline), message).await
}

async fn ask_within<M: Message, R: Send + 'static>(
    name: &str,
    patience: &mut Patience,
    message: impl FnOnce(RpcReplyPort<R>) -> M,
) -> Result<R, AskError> {
    let actor = resolve::<M>(name, patience).await?;
    answer_of(&actor, patience, message).await
}

async fn answer_of<M: Message, R: Send + 'static>(
    actor: &ActorRef<M>,
    patience: &mut Patience,
    message: impl FnOnce(RpcReplyPort<R>) -> M,
) -> Result<R, AskError> {
    let (reply, answer) = oneshot::channel();
    // A message that cannot be sent was not received: its actor ended between look-up and send.
    actor.cast(message(reply.into())).map_err(|_| AskError::Ended)?;
    match patience.wait(answer).await {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(_)) => Err(AskError::Ended),
        None => Err(AskError::Deadline),
    }
}

/// Looks a name up, for as long as it may be on its way.
async fn resolve<M: Message>(name: &str, patience: &mut Patience) -> Result<ActorRef<M>, AskError> {
    let mut look = Patience::new(patience.left.min(ABSENT_MAX));
    let before = look.left;
    let found = look
        .wait(async {
            loop {
                if let Some(cell) = registry::where_is(name) {
                    return cell.into();
                }
                sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    patience.left -= before - look.left;
    found.ok_or(AskError::Absent)
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

    #[tokio::test]
    async fn patience_ends() {
        let mut patience = Patience::new(SLICE + LOOK_AGAIN * 2);
        assert_eq!(patience.wait(sleep(LOOK_AGAIN)).await, Some(()));
        assert_eq!(patience.wait(std::future::pending::<()>()).await, None);
        assert!(patience.is_out());
        assert_eq!(patience.wait(std::future::ready(())).await, None, "none is left");
    }

    #[tokio::test]
    async fn a_process_that_stood_still_has_waited_for_a_slice_and_no_more() {
        let mut patience = Patience::new(SLICE * 3);
        let (tell, told) = oneshot::channel();
        let stood = async {
            // As a stopped process does: no task runs, and the clock goes on.
            std::thread::sleep(SLICE * 4);
            tokio::spawn(async move {
                sleep(LOOK_AGAIN).await;
                tell.send(())
            });
            told.await
        };
        assert_eq!(patience.wait(stood).await, Some(Ok(())));
    }

    /// Ends at the first message.
    struct Ends;

    #[ractor::async_trait]
    impl ractor::Actor for Ends {
        type Msg = RpcReplyPort<()>;
        type State = ();
        type Arguments = ();

        async fn pre_start(&self, _: ActorRef<Self::Msg>, (): ()) -> Result<(), ractor::ActorProcessingErr> {
            Ok(())
        }

        async fn handle(
            &self,
            myself: ActorRef<Self::Msg>,
            _unanswered: Self::Msg,
            (): &mut (),
        ) -> Result<(), ractor::ActorProcessingErr> {
            myself.stop(None);
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_ends_is_not_waited_for() {
        let (ends, handle) = ractor::Actor::spawn(None, Ends, ()).await.unwrap();
        let asked_at = Instant::now();
        assert_eq!(ask_this(&ends, SLICE, |reply| reply).await, Err(AskError::Ended));
        handle.await.unwrap();
        assert_eq!(ask_this(&ends, SLICE, |reply| reply).await, Err(AskError::Ended));
        assert_eq!(asked_at.elapsed(), Duration::ZERO, "of a clock that only waits move on");
    }

    #[tokio::test]
    async fn a_name_that_nobody_has_is_looked_for_until_the_deadline_at_most() {
        let mut patience = Patience::new(LOOK_AGAIN * 3);
        let nobody = resolve::<()>("nobody", &mut patience).await;
        assert_eq!(nobody.map(drop), Err(AskError::Absent));
        assert!(patience.is_out());
    }
}
