//! What the task does when it is told to.

use std::time::Duration;

use bytes::Bytes;
use farmhand_api::{EpochCause, EventBody, LogFrom};
use farmhand_messages::serial::{
    LentPort, OpenPortError, Opened, PortCommand, PortError, PortSpec, Reader, SerialMessage,
};
use farmhand_records::{Epoch, FencingToken};
use farmhand_runtime::{Failpoint, failpoint, patiently};
use ractor::RpcReplyPort;
use tokio::sync::mpsc;
use tokio_serial::SerialPort as _;

use crate::keeper::Kept;
use crate::loan::{Loan, refuse};
use crate::port;
use crate::readers::{READER_ITEMS, Reading};
use crate::recorder::now;
use crate::task::{Absent, Order, Port, Task};
use crate::writes::Done;

/// An open that takes longer than a driver's worst (a few seconds) has hung in the kernel.
const OPEN_DEADLINE: Duration = Duration::from_secs(10);
/// Readers of one port.
const READERS_MAX: usize = 256;

impl Task {
    pub(crate) async fn order(&mut self, order: Order) {
        let message = match order {
            Order::Message(message) => message,
            Order::Stop(reply) => {
                self.drain();
                let place = self.recorder.place(&self.device);
                return self.sync(true, move || {
                    let _nobody_waits = reply.send(place);
                });
            }
        };
        match message {
            SerialMessage::Open { spec, current, reset_epoch, reply } => {
                let opened = self.open(&spec, current, reset_epoch).await;
                let _nobody_waits = reply.send(opened);
            }
            SerialMessage::Close { why, reply } => {
                self.close(&why);
                let _nobody_waits = reply.send(());
            }
            SerialMessage::Lend { token, reply } => {
                let lent = self.lend(token);
                // A loan that nobody takes is dropped here, and so given back.
                let _nobody_waits = reply.send(lent);
            }
            SerialMessage::BeginEpoch { epoch, cause, reply } => {
                self.begin_epoch(epoch, cause);
                let _nobody_waits = reply.send(());
            }
            SerialMessage::Subscribe { from, follow, reply } => self.subscribe(from, follow, reply),
            SerialMessage::Write { writer, bytes, take, reply } => self.write(writer, bytes, take, reply),
            SerialMessage::Position { reply } => {
                self.drain();
                let end = self.recorder.end().offset;
                let epoch = self.recorder.epoch().unwrap_or_default();
                self.sync(true, move || {
                    let _nobody_waits = reply.send((end, epoch));
                });
            }
        }
    }

    async fn open(
        &mut self,
        spec: &PortSpec,
        current: Epoch,
        reset_epoch: Epoch,
    ) -> Result<Opened, OpenPortError> {
        // A hang-up that waits to be seen is seen now.
        self.drain();
        if let Some(port) = &mut self.port {
            if port.kept.path == spec.path {
                if self.loan.is_none() && port.stream.baud_rate().ok() != Some(spec.baud) {
                    port.stream.set_baud_rate(spec.baud).map_err(|error| failed(spec, &error))?;
                }
                let epoch = self.recorder.epoch().unwrap_or(current);
                return Ok(Opened { epoch, may_have_reset: false, already: true });
            }
            // The device is elsewhere now: this port is one that it left.
            self.close("the device came back at another path");
            self.absent = Absent::Vanished;
        }
        self.give_back();
        // One that was opened for a predecessor, which ended before it could say so, is open already.
        let kept = match self.keeper.get().filter(|kept| kept.path == spec.path) {
            Some(kept) => kept,
            None => self.open_port(spec).await?,
        };
        let stream = port::stream(&kept).map_err(|error| failed(spec, &error))?;
        let may_have_reset = kept.may_have_reset;
        // One that appears with what the device was told to start was not missed before.
        let to_come = spec.apart && self.began_here;
        if self.absent == Absent::NotYet && !self.recorder.is_new() && !to_come {
            self.recorder.gap("the farm was not there", now());
        }
        let cause = if spec.apart && self.recorder.epoch() == Some(current) {
            None
        } else if self.absent == Absent::Vanished {
            Some(EpochCause::Returned)
        } else if may_have_reset || self.recorder.epoch() != Some(current) {
            Some(EpochCause::Opened)
        } else {
            None
        };
        if let Some(cause) = cause {
            self.record_epoch(reset_epoch, cause);
        }
        kept.begin();
        self.port = Some(Port { stream, kept });
        let epoch = self.recorder.epoch().unwrap_or(current);
        Ok(Opened { epoch, may_have_reset, already: false })
    }

    async fn open_port(&mut self, spec: &PortSpec) -> Result<std::sync::Arc<Kept>, OpenPortError> {
        self.keeper.clear();
        failpoint(Failpoint::OpenBefore);
        let (keeper, of) = (self.keeper.clone(), spec.clone());
        let opening = tokio::task::spawn_blocking(move || port::open(&of, &keeper));
        // A thread that opens cannot be stopped: what it opens later is with the keeper, for the next order.
        // A farm that stood still meanwhile, and its port with it, has not waited.
        let opened = patiently(OPEN_DEADLINE, opening).await;
        failpoint(Failpoint::OpenAfter);
        match opened {
            Some(Ok(opened)) => opened,
            Some(Err(error)) => Err(failed(spec, &error)),
            None => Err(failed(spec, &"it did not open within 10 s")),
        }
    }

    fn close(&mut self, why: &str) {
        self.drain();
        self.give_back();
        if self.port.take().is_some() {
            self.recorder.gap(why, now());
            self.absent = Absent::Closed;
        }
        self.keeper.clear();
        self.writes.fail(&PortError::Closed);
    }

    fn lend(&mut self, token: FencingToken) -> Result<LentPort, PortError> {
        if token < self.token {
            return Err(PortError::Fenced);
        }
        self.token = token;
        // What was said before is the console's.
        self.drain();
        if self.port.is_none() {
            return Err(self.absent.error());
        }
        if self.route.is_lent() {
            return Err(PortError::Lent);
        }
        let (loan, lent) = Loan::new();
        self.loan = Some(loan);
        self.route.lend();
        self.recorder.lent(now());
        Ok(lent)
    }

    /// What the borrower wants.
    pub(crate) fn command(&mut self, command: PortCommand) {
        if let PortCommand::BeginEpoch { epoch, cause, unread, done } = command {
            let taken = self.loan.as_ref().map_or(0, Loan::taken);
            let first = self.route.begin(unread, taken);
            self.begin_epoch(epoch, cause);
            first.iter().for_each(|bytes| self.recorder.chunk(bytes, now()));
            if let Some(loan) = &mut self.loan {
                loan.stop_bytes();
            }
            let _nobody_waits = done.send(());
            return;
        }
        let Some(port) = &mut self.port else { return refuse(command, self.absent.error()) };
        match command {
            PortCommand::Write { bytes, done } => self.writes.push(bytes, Done::Borrower(done)),
            PortCommand::Baud { baud, done } => {
                let set =
                    port.stream.set_baud_rate(baud).map_err(|error| PortError::Other(error.to_string()));
                let _nobody_waits = done.send(set);
            }
            PortCommand::Lines { dtr, rts, done } => {
                let _nobody_waits = done.send(lines(port, dtr, rts));
            }
            PortCommand::BeginEpoch { .. } => unreachable!("handled above"),
        }
    }

    /// The port is no longer lent: what the borrower ordered before is done as far as it can be, and what it did not
    /// take is recorded.
    pub(crate) fn give_back(&mut self) {
        while let Some(command) = self.loan.as_mut().and_then(Loan::try_command) {
            match command {
                PortCommand::BeginEpoch { .. } => self.command(command),
                _ => refuse(command, PortError::Closed),
            }
        }
        let Some(loan) = self.loan.take() else { return };
        self.recorder.returned(now());
        for chunk in self.route.give_back(loan.taken()) {
            self.recorder.chunk(&chunk, now());
        }
    }

    /// Ends a loan against the borrower's will.
    pub(crate) fn revoke(&mut self, why: &str) {
        self.give_back();
        let note = format!("the lent port is taken back: {why}");
        self.ctx.event(None, Some(&self.device), EventBody::Note(note));
    }

    fn begin_epoch(&mut self, epoch: Epoch, cause: EpochCause) {
        // Asked again, or by one that has been overtaken.
        if self.recorder.epoch().is_some_and(|current| epoch <= current) {
            return;
        }
        self.record_epoch(epoch, cause);
    }

    fn record_epoch(&mut self, epoch: Epoch, cause: EpochCause) {
        self.recorder.begin_epoch(epoch, cause.clone(), now());
        (self.began_here, self.save_now) = (true, true);
        let session = match cause {
            EpochCause::Handoff(session) => Some(session),
            _ => None,
        };
        self.ctx.event(session, Some(&self.device), EventBody::EpochBegan { epoch, cause });
    }

    fn subscribe(&mut self, from: LogFrom, follow: bool, reply: RpcReplyPort<Reader>) {
        if self.readers.len() >= READERS_MAX {
            tracing::warn!(device = %self.device, "{READERS_MAX} readers are there already");
            return;
        }
        let (to, reader) = mpsc::channel(READER_ITEMS);
        let reading = Reading {
            dir: self.dir.clone(),
            from,
            start: self.recorder.find(from),
            end: self.recorder.end(),
            follow,
            watch: self.recorder.watch(),
            asks: self.asks.clone(),
            to,
        };
        if reply.send(reader).is_ok() {
            self.readers.spawn(reading.run());
        }
    }

    fn write(
        &mut self,
        writer: String,
        bytes: Bytes,
        take: bool,
        reply: RpcReplyPort<Result<(), PortError>>,
    ) {
        let refusal = if self.port.is_none() {
            Some(self.absent.error())
        } else if self.loan.is_some() {
            Some(PortError::Lent)
        } else {
            self.writer.take(writer, take, now().mono_us).err()
        };
        let done = Done::Console(reply);
        match refusal {
            Some(error) => done.tell(Err(error)),
            None => self.writes.push(bytes, done),
        }
    }
}

/// Sets the modem lines, if there are any.
fn lines(port: &mut Port, dtr: bool, rts: bool) -> Result<bool, PortError> {
    if !port.kept.has_lines {
        return Ok(false);
    }
    let set =
        port.stream.write_data_terminal_ready(dtr).and_then(|()| port.stream.write_request_to_send(rts));
    set.map(|()| true).map_err(|error| PortError::Other(error.to_string()))
}

fn failed(spec: &PortSpec, why: &dyn std::fmt::Display) -> OpenPortError {
    OpenPortError::Other { path: spec.path.clone(), why: why.to_string() }
}
