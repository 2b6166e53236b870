//! The tasks that an actor sets going. They outlive a handler, never the actor: the supervisor owns this, and awaits
//! its end before a successor starts.

use std::future::Future;
use std::time::Duration;

use ractor::{ActorRef, Message};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// One incarnation's tasks.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    tasks: TaskTracker,
    cancel: CancellationToken,
}

impl Effects {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `work`, and sends what it gives to `actor`. Dropped at its next await when the actor is to end. If it
    /// panics, that is the actor's failure.
    pub fn spawn<M: Message>(&self, actor: &ActorRef<M>, work: impl Future<Output = M> + Send + 'static) {
        let cancel = self.cancel.clone();
        let actor = actor.clone();
        let task = async move {
            let mut guard = FailWithMe(Some(actor.get_cell()));
            if let Some(message) = cancel.run_until_cancelled(work).await {
                let _ended_meanwhile = actor.cast(message);
            }
            guard.0 = None;
        };
        self.tasks.spawn(task.in_current_span());
    }

    /// Runs blocking `work` in a thread; it cannot be cancelled, so it is awaited.
    pub fn spawn_blocking<M: Message>(&self, actor: &ActorRef<M>, work: impl FnOnce() -> M + Send + 'static) {
        let actor = actor.clone();
        let span = tracing::Span::current();
        self.tasks.spawn_blocking(move || {
            let _in_span = span.enter();
            let mut guard = FailWithMe(Some(actor.get_cell()));
            let _ended_meanwhile = actor.cast(work());
            guard.0 = None;
        });
    }

    /// A token that is cancelled when the actor is to end.
    #[must_use]
    pub fn cancelled(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Cancels all, and waits for their end: true once nothing runs any more.
    pub async fn end(&self, deadline: Duration) -> bool {
        self.tasks.close();
        self.cancel.cancel();
        timeout(deadline, self.tasks.wait()).await.is_ok()
    }
}

/// Kills the actor unless it is disarmed: it is dropped armed by a panic only.
struct FailWithMe(Option<ractor::ActorCell>);

impl Drop for FailWithMe {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(actor) = self.0.take()
        {
            actor.kill();
        }
    }
}
