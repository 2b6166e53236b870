//! The actor: it passes orders to the task that owns the port, and never waits for it.

use std::time::Duration;

use farmhand_messages::SerialMessage;
use farmhand_messages::serial::{OpenPortError, PortError};
use farmhand_records::{DeviceName, v1};
use farmhand_runtime::{ChaosRole, Ctx, load, save};
use farmhand_store::Durability;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::keeper::PortKeeper;
use crate::recorder::{Recorder, now};
use crate::task::{ASKS, Order, Task};

/// Orders that wait for the task: more than a device actor, its session and many monitors have at once.
const ORDERS: usize = 64;
/// At the end, the disk is waited for so long.
const STOP_DEADLINE: Duration = Duration::from_secs(3);
/// The place at the end is worth a second's wait: the segments are the truth.
const SAVE_DEADLINE: Duration = Duration::from_secs(1);

/// The serial actor of one device.
#[derive(Debug, Clone, Copy, Default)]
pub struct SerialActor;

/// What a serial actor is started with.
#[derive(Debug, Clone)]
pub struct SerialArgs {
    /// What every actor is given.
    pub ctx: Ctx,
    /// Whose port.
    pub device: DeviceName,
    /// Where a duplicate of the open port is: the same at each restart.
    pub keeper: PortKeeper,
    /// Bytes of one of the eight segments that are kept: [`SEGMENT_BYTES_MAX`](crate::SEGMENT_BYTES_MAX).
    pub segment_bytes_max: u64,
}

/// What a serial actor has.
#[derive(Debug)]
pub struct SerialState {
    ctx: Ctx,
    orders: mpsc::Sender<Order>,
}

#[ractor::async_trait]
impl Actor for SerialActor {
    type Msg = SerialMessage;
    type State = SerialState;
    type Arguments = SerialArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        args: SerialArgs,
    ) -> Result<Self::State, ActorProcessingErr> {
        let SerialArgs { ctx, device, keeper, segment_bytes_max } = args;
        // Without its place the recording itself is read: it is the truth.
        let place =
            load::<v1::Serial>(&ctx.store, device.as_str().as_bytes()).await.unwrap_or_else(|error| {
                tracing::warn!(%error, %device, "the recorder's place cannot be read");
                None
            });
        let dir = ctx.paths.recording(&device);
        let recorder = tokio::task::spawn_blocking(move || {
            Recorder::open(&dir, segment_bytes_max, place.as_ref(), now())
        })
        .await?;
        let (orders, taken) = mpsc::channel(ORDERS);
        let (asks, asked) = mpsc::channel(ASKS);
        let task = Task::new(ctx.clone(), device, keeper, recorder, asks);
        ctx.effects.spawn(&myself, async move { match Box::pin(task.run(taken, asked)).await {} });
        Ok(SerialState { ctx, orders })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        state.ctx.chaos.strike(ChaosRole::Serial);
        if let Err(refused) = state.orders.try_send(Order::Message(message))
            && let Order::Message(message) = refused.into_inner()
        {
            refuse(message);
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<Self::Msg>,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let (reply, stopped) = oneshot::channel();
        if state.orders.try_send(Order::Stop(reply)).is_ok()
            && let Ok(Ok(place)) = timeout(STOP_DEADLINE, stopped).await
        {
            let saving = save(&state.ctx.store, &place, state.ctx.incarnation, Durability::Progress);
            if !matches!(timeout(SAVE_DEADLINE, saving).await, Ok(Ok(_))) {
                tracing::warn!(device = %place.device, "the recorder's place is not saved");
            }
        }
        Ok(())
    }
}

/// Answers what there is no room for. Where the answer has no word for it there is none, and it is safe to ask again.
fn refuse(message: SerialMessage) {
    let busy = || format!("{ORDERS} orders wait already");
    match message {
        SerialMessage::Open { spec, reply, .. } => {
            let _nobody_waits = reply.send(Err(OpenPortError::Other { path: spec.path, why: busy() }));
        }
        SerialMessage::Lend { reply, .. } => {
            let _nobody_waits = reply.send(Err(PortError::Other(busy())));
        }
        SerialMessage::Write { reply, .. } => {
            let _nobody_waits = reply.send(Err(PortError::Other(busy())));
        }
        SerialMessage::Close { .. }
        | SerialMessage::BeginEpoch { .. }
        | SerialMessage::Subscribe { .. }
        | SerialMessage::Position { .. } => {}
    }
}
