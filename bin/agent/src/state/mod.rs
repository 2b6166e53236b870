//! What the agent decides: which commands there are, what became of them, and what is to be said next.
//!
//! Nothing here reads, writes or waits. What is to be said is not queued: it is drawn from what is the case
//! ([`State::say`]), one message at a time, so that a host who reads nothing costs no memory but its windows.

mod entry;
mod say;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use farmhand_agent_messages::{
    COMMANDS_MAX, Command, FromAgent, Health, How, Refusal, Stream, ToAgent, WINDOW, chunk_cost,
};

use entry::{Entry, Phase};

/// Refusals that wait to be said. One more is not kept: what has no answer is said again by the host.
const REFUSED_MAX: usize = 64;
/// Who asked how the guest is, and was not answered yet. One more asks again.
const HEALTHS_MAX: usize = 64;

/// What is to be done for a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Task {
    Run(Command),
    Put { path: String, mode: u32, len: u64 },
    Get { path: String },
}

/// To a command that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// So much more of its window is free. The whole of it was, at the start.
    Allow(usize),
    /// For its standard input.
    Input(Vec<u8>),
    InputEnd,
    /// To its process group.
    Signal(i32),
    /// Kill it. Nobody wants to know what it says.
    Abort,
}

/// What the agent is told. Of a command's, the last is `Finished`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// The host said so.
    Heard(ToAgent),
    /// It said what nobody can read.
    BadFrame,
    /// There is no host now.
    HostGone,
    /// What was last drawn from [`State::say`] was given to the port.
    Said,
    /// A command said this, within what it was allowed.
    Output { id: u64, stream: Stream, bytes: Vec<u8> },
    /// A command's standard input has taken so many bytes, or never will.
    Swallowed { id: u64, len: usize },
    /// A command is over, and so is its process.
    Finished { id: u64, how: How },
    /// Nothing is left of what commands have begun.
    Swept,
}

/// What the shell does, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Begin it. Never twice for an id.
    Start {
        id: u64,
        task: Task,
    },
    Order {
        id: u64,
        order: Order,
    },
    /// Look how the guest is, and answer [`State::measured`].
    Measure {
        nonce: u64,
    },
    /// End what commands have left behind, and say [`Input::Swept`]. It is this time now, in microseconds since 1970, or later.
    Sweep {
        now_us: u64,
    },
}

/// A message of the host that concerns one command.
enum ToCommand {
    Resume { from: u64 },
    Input(Vec<u8>),
    InputEnd,
    Signal(i32),
    Credit { upto: u64 },
    Taken,
}

#[derive(Debug, Clone)]
pub(crate) struct State {
    boot: [u8; 16],
    epoch: u64,
    highest: u64,
    commands: BTreeMap<u64, Entry>,
    /// The nonce of the host that is here.
    host: Option<u64>,
    /// Who waits for the answer to a greeting.
    greet: bool,
    /// The epoch whose commands are being ended.
    restoring: Option<u64>,
    /// What those have left behind is being ended.
    sweeping: bool,
    /// An epoch to be acknowledged.
    restored: Option<u64>,
    refused: VecDeque<(u64, Refusal)>,
    /// Answers to who asked how the guest is.
    healths: VecDeque<(u64, Health)>,
    /// Whose acknowledgement is on its way to the port.
    accepting: Option<u64>,
    /// Who spoke last.
    spoke: u64,
    ignored_restores: u64,
    repeated_restores: u64,
    bad_frames: u64,
}

impl State {
    pub(crate) fn new(boot: [u8; 16]) -> Self {
        Self {
            boot,
            epoch: 0,
            highest: 0,
            commands: BTreeMap::new(),
            host: None,
            greet: false,
            restoring: None,
            sweeping: false,
            restored: None,
            refused: VecDeque::new(),
            healths: VecDeque::new(),
            accepting: None,
            spoke: 0,
            ignored_restores: 0,
            repeated_restores: 0,
            bad_frames: 0,
        }
    }

    /// One step. Every input has an answer, if only that nothing is done.
    pub(crate) fn step(&mut self, input: Input) -> Vec<Effect> {
        match input {
            Input::Heard(message) => self.hear(message),
            Input::BadFrame => {
                self.bad_frames += 1;
                Vec::new()
            }
            Input::HostGone => {
                self.host_gone();
                Vec::new()
            }
            Input::Said => self.accepting.take().map_or_else(Vec::new, |id| self.begin(id)),
            Input::Output { id, stream, bytes } => {
                if let Some(entry) = self.commands.get_mut(&id)
                    && !entry.is_unheard()
                {
                    entry.push(stream, bytes);
                }
                Vec::new()
            }
            Input::Swallowed { id, len } => {
                if let Some(entry) = self.commands.get_mut(&id) {
                    entry.input_open = entry.input_open.saturating_sub(len);
                    entry.input_owed += len;
                }
                Vec::new()
            }
            Input::Finished { id, how } => self.finished(id, how).into_iter().collect(),
            Input::Swept => {
                self.swept();
                Vec::new()
            }
        }
    }

    fn hear(&mut self, message: ToAgent) -> Vec<Effect> {
        match message {
            ToAgent::Hello { nonce, .. } => {
                if self.host != Some(nonce) {
                    self.host_gone();
                    self.host = Some(nonce);
                }
                self.greet = true;
                Vec::new()
            }
            ToAgent::Restored { epoch } => self.restore(epoch),
            ToAgent::Run { id, command } => self.run(id, Task::Run(command)),
            ToAgent::Put { id, path, mode, len } => self.run(id, Task::Put { path, mode, len }),
            ToAgent::Get { id, path } => self.run(id, Task::Get { path }),
            ToAgent::Resume { id, from } => self.tell(id, ToCommand::Resume { from }),
            ToAgent::Input { id, bytes } => self.tell(id, ToCommand::Input(bytes.0)),
            ToAgent::InputEnd { id } => self.tell(id, ToCommand::InputEnd),
            ToAgent::Signal { id, number } => self.tell(id, ToCommand::Signal(number)),
            ToAgent::Credit { id, upto } => self.tell(id, ToCommand::Credit { upto }),
            ToAgent::Taken { id } => self.tell(id, ToCommand::Taken),
            ToAgent::Health { nonce } => vec![Effect::Measure { nonce }],
        }
    }

    /// How the guest is; what the agent itself knows is added.
    pub(crate) fn measured(&mut self, nonce: u64, figures: Health) {
        let health = Health {
            commands: u32::try_from(self.commands.len()).unwrap_or(u32::MAX),
            ignored_restores: self.ignored_restores,
            repeated_restores: self.repeated_restores,
            bad_frames: self.bad_frames,
            ..figures
        };
        // Who asks again is answered once.
        self.healths.retain(|(asked, _)| *asked != nonce);
        if self.healths.len() < HEALTHS_MAX {
            self.healths.push_back((nonce, health));
        }
    }

    /// What nobody was promised is forgotten, and the rest waits for whoever resumes it.
    fn host_gone(&mut self) {
        self.host = None;
        self.greet = false;
        self.restored = None;
        self.refused.clear();
        self.healths.clear();
        self.accepting = None;
        self.commands.retain(|_, entry| !matches!(entry.phase, Phase::Waiting(_)));
        self.commands.values_mut().for_each(Entry::hold);
    }

    fn run(&mut self, id: u64, task: Task) -> Vec<Effect> {
        let full = self.commands.len() >= COMMANDS_MAX;
        match self.commands.get_mut(&id) {
            // Its end is given up, and the id with it.
            Some(entry) if entry.given_up => self.refuse(id, Refusal::Old),
            Some(entry) => {
                entry.accept = true;
                if entry.held {
                    entry.resume();
                }
            }
            None if id <= self.highest => self.refuse(id, Refusal::Old),
            None if full => self.refuse(id, Refusal::Busy),
            None => {
                self.highest = id;
                self.commands.insert(id, Entry::new(task));
            }
        }
        Vec::new()
    }

    fn refuse(&mut self, id: u64, why: Refusal) {
        if self.refused.len() < REFUSED_MAX {
            self.refused.push_back((id, why));
        }
    }

    /// Its acknowledgement is with the port: from here on it is executed, whatever comes.
    fn begin(&mut self, id: u64) -> Vec<Effect> {
        let Some(entry) = self.commands.get_mut(&id) else { return Vec::new() };
        if !matches!(entry.phase, Phase::Waiting(_)) {
            return Vec::new();
        }
        let Phase::Waiting(task) = std::mem::replace(&mut entry.phase, Phase::Running) else {
            return Vec::new();
        };
        entry.input_owed = WINDOW;
        vec![Effect::Start { id, task }]
    }

    fn tell(&mut self, id: u64, what: ToCommand) -> Vec<Effect> {
        let mut effects = Vec::new();
        // A host that speaks of a command has read its acknowledgement: the news that it was written is on
        // its way.
        if self.accepting == Some(id) {
            effects = self.begin(id);
        }
        let Some(entry) = self.commands.get_mut(&id) else {
            if matches!(what, ToCommand::Resume { .. }) {
                self.refuse(id, Refusal::Old);
            }
            return effects;
        };
        let running = matches!(entry.phase, Phase::Running);
        let mut order = |order| effects.push(Effect::Order { id, order });
        match what {
            ToCommand::Resume { .. } if entry.given_up => self.refuse(id, Refusal::Old),
            ToCommand::Resume { from } => {
                let freed = entry.credit(from);
                if entry.held {
                    entry.resume();
                }
                entry.accept = true;
                if running && freed > 0 {
                    order(Order::Allow(freed));
                }
            }
            ToCommand::Credit { upto } => {
                let freed = entry.credit(upto);
                if running && freed > 0 {
                    order(Order::Allow(freed));
                }
            }
            ToCommand::Input(bytes) => {
                // More than was credited is no host's of ours: it is cut off rather than kept.
                let fits = entry.input_open + bytes.len() <= WINDOW;
                if running && fits && !bytes.is_empty() {
                    entry.input_open += bytes.len();
                    order(Order::Input(bytes));
                } else if running && !fits {
                    order(Order::InputEnd);
                }
            }
            ToCommand::InputEnd if running => order(Order::InputEnd),
            ToCommand::Signal(number) if running => order(Order::Signal(number)),
            ToCommand::InputEnd | ToCommand::Signal(_) => {}
            ToCommand::Taken if running => {
                entry.give_up();
                order(Order::Abort);
            }
            ToCommand::Taken => {
                self.commands.remove(&id);
            }
        }
        effects
    }

    fn restore(&mut self, epoch: u64) -> Vec<Effect> {
        let newest = self.restoring.unwrap_or(self.epoch);
        if epoch < newest {
            self.ignored_restores += 1;
            return Vec::new();
        }
        if epoch == newest {
            self.repeated_restores += 1;
            // One that is under way is acknowledged when it is done.
            if self.restoring.is_none() {
                self.restored = Some(epoch);
            }
            return Vec::new();
        }
        self.restoring = Some(epoch);
        self.restored = None;
        // What ended under another host was promised to a life that is over.
        self.commands.retain(|_, entry| !(entry.held && matches!(entry.phase, Phase::Ended(_))));
        let mut effects = Vec::new();
        for (&id, entry) in &mut self.commands {
            if entry.abort(epoch) {
                effects.push(Effect::Order { id, order: Order::Abort });
            }
        }
        self.accepting = None;
        effects.extend(self.settle());
        effects
    }

    fn finished(&mut self, id: u64, how: How) -> Option<Effect> {
        let entry = self.commands.get_mut(&id)?;
        if entry.given_up {
            self.commands.remove(&id);
        } else {
            entry.phase = Phase::Ended(entry.aborted.map_or(how, |epoch| How::Aborted { epoch }));
        }
        self.settle()
    }

    /// When no command runs that ran before a restore, what such have left behind is swept; nothing is begun before that is done.
    fn settle(&mut self) -> Option<Effect> {
        let of_before = |entry: &Entry| matches!(entry.phase, Phase::Running) && entry.aborted.is_some();
        let now_us = self.restoring?;
        if self.sweeping || self.commands.values().any(of_before) {
            return None;
        }
        self.sweeping = true;
        Some(Effect::Sweep { now_us })
    }

    /// A restore is done when nothing runs that ran before it.
    fn swept(&mut self) {
        self.sweeping = false;
        if let Some(epoch) = self.restoring.take() {
            self.epoch = epoch;
            self.restored = Some(epoch);
        }
    }
}
