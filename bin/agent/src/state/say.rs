//! What is said next. Data comes last, and of that each command has its turn.

use farmhand_agent_messages::{Data, Greeting, VERSION};

use super::entry::{Entry, Phase};
use super::{FromAgent, State};

impl State {
    /// The next message, if there is one and somebody to hear it. Draw the next one after
    /// [`super::Input::Said`].
    pub(crate) fn say(&mut self) -> Option<FromAgent> {
        let nonce = self.host?;
        if std::mem::take(&mut self.greet) {
            let greeting = Greeting {
                boot: self.boot,
                epoch: self.epoch,
                highest: self.highest,
                commands: self.commands.keys().copied().collect(),
            };
            return Some(FromAgent::Hello { version: VERSION, nonce, greeting });
        }
        self.say_of_one().or_else(|| self.say_of_all()).or_else(|| self.say_data())
    }

    fn say_of_one(&mut self) -> Option<FromAgent> {
        let mut accepting = None;
        let restoring = self.restoring.is_some();
        let said = self.commands.iter_mut().find_map(|(&id, entry)| {
            // What is accepted begins, and what begins now would be ended with what was before it.
            let later = restoring && matches!(entry.phase, Phase::Waiting(_));
            if !later && std::mem::take(&mut entry.accept) {
                accepting = Some(id);
                return Some(FromAgent::Accepted { id });
            }
            if let Phase::Ended(how) = &entry.phase
                && entry.aborted.is_some()
                && !entry.ended_said
                && !entry.given_up
            {
                entry.ended_said = true;
                return Some(FromAgent::Ended { id, how: how.clone() });
            }
            // Towards an end nothing more is sent.
            if entry.input_owed > 0 && !entry.held && entry.phase == Phase::Running {
                return Some(FromAgent::Credit { id, bytes: std::mem::take(&mut entry.input_owed) as u64 });
            }
            None
        });
        if accepting.is_some() {
            self.accepting = accepting;
        }
        said
    }

    fn say_of_all(&mut self) -> Option<FromAgent> {
        if let Some(epoch) = self.restored.take() {
            return Some(FromAgent::Restored { epoch });
        }
        if let Some((id, why)) = self.refused.pop_front() {
            return Some(FromAgent::Refused { id, why });
        }
        let (nonce, health) = self.healths.pop_front()?;
        Some(FromAgent::Health { nonce, health })
    }

    fn say_data(&mut self) -> Option<FromAgent> {
        let next = self.spoke.saturating_add(1);
        let after = self.commands.range(next..).map(|(&id, _)| id);
        let before = self.commands.range(..next).map(|(&id, _)| id);
        let id = after.chain(before).find(|id| self.commands[id].has_data())?;
        self.spoke = id;
        self.commands.get_mut(&id)?.say_data(id)
    }
}

impl Entry {
    fn has_data(&self) -> bool {
        let waiting = matches!(self.phase, Phase::Waiting(_));
        let end_is_due = matches!(self.phase, Phase::Ended(_)) && !self.ended_said;
        !self.held && !waiting && !self.given_up && (self.said < self.output.len() || end_is_due)
    }

    fn say_data(&mut self, id: u64) -> Option<FromAgent> {
        if let Some(chunk) = self.output.get(self.said) {
            self.said += 1;
            let bytes = Data(chunk.bytes.clone());
            return Some(FromAgent::Output { id, stream: chunk.stream, at: chunk.at, bytes });
        }
        let Phase::Ended(how) = &self.phase else { return None };
        self.ended_said = true;
        Some(FromAgent::Ended { id, how: how.clone() })
    }
}
