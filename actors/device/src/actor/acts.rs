//! The machine's acts, set going as tasks.

use farmhand_api::{EpochCause, Problem};
use farmhand_messages::DeviceMessage;
use farmhand_messages::device::{Attachment, HandoffKnown, SnapshotWish};
use ractor::ActorRef;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::replies::Reply;
use super::{DeviceState, ended};
use crate::problems;
use crate::state::{Act, AskId, Left, Outcome, Said};
use crate::virtual_uno::{Board, Counts};
use crate::work::{
    BootloaderSettling, Ended, Load, MachineSettling, Opening, Put, Restore, Save, Settling, Speaks,
    StayCommand, StayEnd, Tools, Transfer, Word, ask_for,
};

impl DeviceState {
    pub(super) fn act(&mut self, me: &ActorRef<DeviceMessage>, id: Option<AskId>, act: Act) {
        let effects = self.ctx.effects.clone();
        let (ctx, config, driver) = (self.ctx.clone(), self.config.clone(), self.driver.clone());
        let machine = self.emulated.as_ref().map(|emulated| emulated.machine.clone());
        let tools = Tools { ctx, config, driver, machine };
        self.stop = CancellationToken::new();
        let stop = self.stop.clone();
        let reply = id.and_then(|id| self.replies.get(id));
        match act {
            Act::Open { baud, known, fresh, again } => {
                let progress = reply.and_then(Reply::progress);
                let Ok(fresh) = fresh.try_into() else { unreachable!("an opening is given two epochs") };
                let opening = Opening { baud, known, fresh, again, progress };
                effects.spawn(me, async move { ended(Box::pin(opening.run(tools)).await) });
            }
            Act::Transfer { of, epochs, holds, token } => {
                let Some(Reply::Transfer { payload, model, progress, .. }) = reply else {
                    unreachable!("a transfer is asked for, with its image")
                };
                // An older stay ends; its task gives the port back.
                self.stay = None;
                if let Attachment::Fastboot(way) = &self.config.attachment {
                    let (way, payload, progress) = (way.as_ref().clone(), payload.clone(), progress.clone());
                    let put = Put { of, payload, model: model.clone(), progress, stop };
                    effects.spawn(me, async move { ended(Box::pin(put.run(tools, way)).await) });
                    return;
                }
                if let Ok(Speaks::Machine(kind)) = self.driver {
                    let (payload, progress) = (payload.clone(), progress.clone());
                    let baud = self.machine.baud();
                    let load = Load { of, epochs, kind, payload, baud, progress, stop };
                    // Its news are of the machine that goes.
                    self.emulated = None;
                    effects.spawn(me, async move { ended(Box::pin(load.run(tools)).await) });
                    return;
                }
                let (payload, progress) = (payload.clone(), progress.clone());
                let (console_baud, board) = (self.machine.baud(), self.board.clone());
                let transfer =
                    Transfer { of, epochs, holds, token, payload, console_baud, board, progress, stop };
                effects.spawn(me, async move { ended(Box::pin(transfer.run(tools)).await) });
            }
            Act::Leave { epoch, .. } => {
                let commands = self.stay.as_ref().map(|held| held.commands.clone());
                effects.spawn(me, async move {
                    let why = "the task that kept its loader awake had ended".to_owned();
                    let gone = Left::LoaderGone { why, began: None, starts: None };
                    let ambiguous = |_| Left::Ambiguous("the task that issued it ended".into());
                    let (done, left) = oneshot::channel();
                    let left = match commands {
                        Some(commands) if commands.send(StayCommand::Leave { epoch, done }).await.is_ok() => {
                            left.await.unwrap_or_else(ambiguous)
                        }
                        _ => gone,
                    };
                    ended(Outcome::Left(left).into())
                });
            }
            Act::LetGo if matches!(self.config.attachment, Attachment::Machine(_)) && self.stay.is_none() => {
                let lets_go = tools.end_unless_let_go();
                effects.spawn(me, async move { ended(lets_go.await) });
            }
            Act::LetGo => {
                let commands = self.stay.as_ref().map(|held| held.commands.clone());
                effects.spawn(me, async move {
                    let (done, end) = oneshot::channel();
                    let nothing = StayEnd { why: String::new(), began: None, starts: None };
                    let StayEnd { began, starts, .. } = match commands {
                        Some(commands) if commands.send(StayCommand::LetGo { done }).await.is_ok() => {
                            end.await.unwrap_or(nothing)
                        }
                        _ => nothing,
                    };
                    ended(Outcome::LetGo { began, starts }.into())
                });
            }
            Act::Settle { of, noted, .. } if matches!(self.config.attachment, Attachment::Fastboot(_)) => {
                let Attachment::Fastboot(way) = self.config.attachment.clone() else { return };
                let known = match reply {
                    Some(Reply::Evidence { known, .. }) => known.clone(),
                    _ => HandoffKnown::default(),
                };
                let baud = self.machine.baud();
                let settling = BootloaderSettling { of, noted, known, baud };
                effects.spawn(me, async move { ended(Box::pin(settling.run(tools, *way)).await) });
            }
            Act::Settle { noted, .. } if matches!(self.config.attachment, Attachment::Machine(_)) => {
                let settling = MachineSettling { noted };
                effects.spawn(me, async move { ended(Box::pin(settling.run(tools)).await) });
            }
            Act::Word if matches!(reply, Some(Reply::Snapshot { .. })) => {
                let Ok(Speaks::Machine(kind)) = self.driver.clone() else {
                    let problem = Box::new(problems::no_machine_to_save(&self.config.name));
                    effects.spawn(me, async move { ended(Outcome::Said(Err(problem)).into()) });
                    return;
                };
                if let Some(Reply::Snapshot { wish: SnapshotWish::Save { name, replace }, .. }) = reply {
                    let save = Save { name: name.clone(), replace: *replace, kind };
                    effects.spawn(me, async move { ended(Box::pin(save.run(tools)).await) });
                } else {
                    effects.spawn(me, async move { ended(tools.end_machine().await) });
                }
            }
            Act::Restore { epoch } => {
                let (name, progress) = match reply {
                    Some(Reply::Snapshot { wish: SnapshotWish::Restore { name }, progress, .. }) => {
                        (Some(name.clone()), progress.clone())
                    }
                    Some(Reply::Snapshot { wish: SnapshotWish::Boot, progress, .. }) => {
                        (None, progress.clone())
                    }
                    _ => unreachable!("a machine is restored from a snapshot"),
                };
                let Ok(Speaks::Machine(kind)) = self.driver.clone() else {
                    let problem = Box::new(problems::no_machine_to_save(&self.config.name));
                    effects.spawn(me, async move { ended(Outcome::Restored(Err((problem, false))).into()) });
                    return;
                };
                let restore = Restore { name, epoch, kind, baud: self.machine.baud(), progress };
                effects.spawn(me, async move { ended(Box::pin(restore.run(tools)).await) });
            }
            Act::Word => {
                let Attachment::Fastboot(way) = self.config.attachment.clone() else {
                    let why = "it has no bootloader that speaks fastboot".to_owned();
                    let problem = Box::new(problems::out_of_order(&self.config.name, why));
                    effects.spawn(me, async move { ended(Outcome::Said(Err(problem)).into()) });
                    return;
                };
                match reply {
                    // Who asked has gone while it waited: it is not begun.
                    Some(word) if word.is_given_up() => {
                        let gone = gone(&tools);
                        effects.spawn(me, async move { ended(Outcome::Said(Err(gone)).into()) });
                    }
                    Some(Reply::Say { command, model, progress, .. }) => {
                        let word = Word {
                            command: command.clone(),
                            model: model.clone(),
                            progress: progress.clone(),
                        };
                        effects.spawn(me, async move {
                            let said = Box::pin(word.say(&tools, &way));
                            let said = stop.run_until_cancelled(said).await;
                            let said = said.unwrap_or_else(|| Err(gone(&tools)));
                            ended(Outcome::Said(said.map(Said::Text)).into())
                        });
                    }
                    Some(Reply::GetVars { names, .. }) => {
                        let names = names.clone();
                        effects.spawn(me, async move {
                            let asked = Box::pin(ask_for(&tools, &way, &names));
                            let asked = stop.run_until_cancelled(asked).await;
                            let asked = asked.unwrap_or_else(|| Err(gone(&tools)));
                            ended(Outcome::Said(asked.map(Said::Variables)).into())
                        });
                    }
                    _ => unreachable!("a word is asked for, with what is to be said"),
                }
            }
            Act::Settle { of, noted, epochs, token } => {
                let console_baud = self.machine.baud();
                let settling = Settling { of, noted, epochs, token, console_baud };
                effects.spawn(me, async move { ended(Box::pin(settling.run(tools)).await) });
            }
            Act::Count => {
                let (board, before) = (self.board.clone(), self.counts);
                effects.spawn(me, async move { ended(count(&tools, board, before).await) });
            }
            Act::Begin { epoch, cause, .. } => {
                let was_reset = self.emulated.as_ref().is_some_and(|emulated| emulated.was_reset);
                let kind = match self.driver {
                    Ok(Speaks::Machine(kind)) if was_reset => Some(kind),
                    _ => None,
                };
                effects.spawn(me, async move {
                    if let Err(error) = tools.begin_epoch(epoch, EpochCause::Itself(cause)).await {
                        tracing::warn!(%error, "the serial actor did not record an epoch");
                    }
                    if let (Some(kind), Some(machine)) = (kind, &tools.machine) {
                        tools.go_on(machine, kind).await;
                    }
                    ended(Outcome::Begun.into())
                });
            }
        }
    }
}

/// Of a word that was ended, for nobody waits for it.
fn gone(tools: &Tools) -> Box<Problem> {
    Box::new(problems::stopped(&tools.config.name))
}

/// The board's count, asked now: what a verdict rests on.
async fn count(tools: &Tools, board: Option<Board>, before: Option<Counts>) -> Ended {
    let Some(board) = board else { return Outcome::BoardGone.into() };
    match board.counts().await {
        Ok(counts) => {
            let cause = before.map_or("it started again", |before| counts.cause_since(&before)).to_owned();
            Ended { counts: Some(counts), ..Outcome::Counted(Ok((counts.starts, cause))).into() }
        }
        Err(_) if !board.process().is_alive() => Outcome::BoardGone.into(),
        Err(error) => {
            let name = &tools.config.name;
            let problem = problems::no_board(name, &tools.ctx.paths.board(name), &error.to_string());
            Outcome::Counted(Err(Box::new(problem))).into()
        }
    }
}
