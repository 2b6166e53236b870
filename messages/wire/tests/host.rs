//! The host's machines against a loader that keeps to optiboot's ways. The loader itself is a model; that the real
//! one agrees is tested where the virtual board is.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::collections::VecDeque;

use farmhand_wire::stk500v1::device::{CommandParser, Heard, Status, Told, encode_reply};
use farmhand_wire::stk500v1::{
    Command, Comparison, Dialogue, Difference, Doing, EnterProgmode, HostError, Identify, Identity, Input,
    Leave, LoaderVersion, Machine, Output, Page, Progress, ReplyError, Signature, Synced, Synchronize,
    VerifyPages, WireOptions, WritePages,
};

/// A loader with 32 KiB of flash, and what it counts.
struct Loader {
    parser: CommandParser,
    flash: Vec<u8>,
    word: u16,
    page_writes: usize,
    leaves: usize,
    sends: usize,
    /// What comes to the host, besides answers.
    inbound: VecDeque<Vec<u8>>,
}

impl Loader {
    fn new() -> Self {
        let (parser, flash, inbound) = (CommandParser::new(), vec![0xff; 0x8000], VecDeque::new());
        Self { parser, flash, word: 0, page_writes: 0, leaves: 0, sends: 0, inbound }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.sends += 1;
        let mut rest = bytes;
        while let Heard::Told { told, unused } = self.parser.feed(rest) {
            rest = unused;
            let Told::Command(command) = told else { panic!("the host said {told:?}") };
            let mut answer = Vec::new();
            let data = self.obey(&command);
            encode_reply(&data, Status::Ok, &mut answer);
            if command == Command::LeaveProgmode {
                answer.extend(b"Hello from setup()\r\n");
            }
            self.inbound.push_back(answer);
        }
    }

    fn obey(&mut self, command: &Command) -> Vec<u8> {
        let at = usize::from(self.word) * 2;
        match command {
            Command::GetParameter(_) => vec![4],
            Command::ReadSignature => vec![0x1e, 0x95, 0x0f],
            Command::Universal(_) => vec![0],
            Command::LoadAddress(word) => {
                self.word = *word;
                vec![]
            }
            Command::ProgPage { data, .. } => {
                self.page_writes += 1;
                self.flash[at..at + data.len()].copy_from_slice(data);
                vec![]
            }
            Command::ReadPage { len, .. } => self.flash[at..at + usize::from(*len)].to_vec(),
            Command::LeaveProgmode => {
                self.leaves += 1;
                vec![]
            }
            _ => vec![],
        }
    }

    /// Runs a conversation; where nothing is inbound, time passes.
    fn run<M: Machine>(&mut self, machine: &mut M) -> Result<(M::Value, Vec<u8>), HostError> {
        let mut output = machine.step(Input::Start);
        loop {
            match output {
                Output::Send(bytes) => self.take(&bytes),
                Output::Need => {}
                Output::Done { value, unused } => return Ok((value, unused)),
                Output::Failed { error, .. } => return Err(error),
            }
            output = match self.inbound.pop_front() {
                Some(bytes) => machine.step(Input::Bytes(&bytes)),
                None => machine.step(Input::TimedOut),
            };
        }
    }
}

fn pages(count: u32) -> Vec<Page> {
    (0..count).map(|n| Page::new(n * 128, vec![u8::try_from(n).unwrap() ^ 0x5a; 128]).unwrap()).collect()
}

#[test]
fn an_upload() {
    for coalesce in [false, true] {
        let options = WireOptions { coalesce };
        let mut loader = Loader::new();
        let (synced, _) = loader.run(&mut Synchronize::new(3)).unwrap();
        assert_eq!(synced, Synced { signature: Signature::ATMEGA328P, attempts: 1, garbage: vec![] });
        let (identity, _) = loader.run(&mut Dialogue::new(Identify::after(&synced))).unwrap();
        let loader_version = LoaderVersion { major: 4, minor: 4 };
        assert_eq!(identity, Identity { signature: Signature::ATMEGA328P, loader: loader_version });
        assert_eq!(loader.run(&mut Dialogue::new(Identify::new())).unwrap().0, identity);
        loader.run(&mut Dialogue::new(EnterProgmode)).unwrap();

        loader.sends = 0;
        let mut write = Dialogue::new(WritePages::new(pages(5), options));
        loader.run(&mut write).unwrap();
        assert_eq!(write.progress(), Progress { bytes_done: 640, bytes_total: 640 });
        assert_eq!(loader.sends, if coalesce { 5 } else { 10 });
        assert_eq!(loader.page_writes, 5);
        assert_eq!(
            loader.flash[..640],
            pages(5).iter().flat_map(|page| page.data().to_vec()).collect::<Vec<_>>()
        );

        let (comparison, _) = loader.run(&mut Dialogue::new(VerifyPages::new(pages(5), options))).unwrap();
        assert_eq!(comparison, Comparison { differences: vec![], pages_read: 5 });

        let ((), unused) = loader.run(&mut Dialogue::new(Leave)).unwrap();
        assert_eq!(unused, b"Hello from setup()\r\n");
        assert_eq!(loader.leaves, 1);
    }
}

#[test]
fn nothing_to_write_sends_nothing() {
    let mut machine = Dialogue::new(WritePages::new(vec![], WireOptions::default()));
    assert_eq!(machine.step(Input::Start), Output::Done { value: (), unused: vec![] });
}

#[test]
fn pages_that_differ_are_found() {
    let mut loader = Loader::new();
    loader.run(&mut Dialogue::new(WritePages::new(pages(4), WireOptions::default()))).unwrap();
    loader.flash[128 + 7] = 0xee;
    loader.flash[3 * 128] = 0xed;
    let verify = VerifyPages::new(pages(4), WireOptions::default());
    let first = Difference { page_index: 1, address: 128 + 7, expected: 0x5b, found: 0xee };
    let second = Difference { page_index: 3, address: 3 * 128, expected: 0x59, found: 0xed };
    let (all, _) = loader.run(&mut Dialogue::new(verify.clone())).unwrap();
    assert_eq!(all, Comparison { differences: vec![first, second], pages_read: 4 });
    let (stopped, _) = loader.run(&mut Dialogue::new(verify.stop_at_first())).unwrap();
    assert_eq!(stopped, Comparison { differences: vec![first], pages_read: 2 });
}

#[test]
fn the_application_may_still_be_talking() {
    let mut loader = Loader::new();
    loader.inbound.push_back(b"tick 41\r\ntick \x14".to_vec());
    loader.inbound.push_back(b"42\r\n".to_vec());
    let (synced, unused) = loader.run(&mut Synchronize::new(3)).unwrap();
    assert_eq!(synced.garbage, b"tick 41\r\ntick \x1442\r\n");
    assert_eq!((synced.attempts, unused.len()), (1, 0));
}

#[test]
fn an_application_that_prints_an_answer_is_not_taken_for_a_loader() {
    let mut machine = Synchronize::new(2);
    assert_eq!(machine.step(Input::Start), Output::Send(b"\x30\x20".to_vec()));
    // A whole signature reply behind it came before that was asked for.
    assert_eq!(machine.step(Input::Bytes(b"x\x14\x10\x14abc\x10")), Output::Send(b"\x75\x20".to_vec()));
    assert_eq!(machine.step(Input::TimedOut), Output::Send(b"\x30\x20".to_vec()));
    assert_eq!(machine.step(Input::Bytes(b"y\x14\x10")), Output::Send(b"\x75\x20".to_vec()));
    let Output::Done { value, unused } = machine.step(Input::Bytes(b"\x14\x1e\x95\x0f\x10z")) else {
        panic!("not done")
    };
    assert_eq!(
        value,
        Synced { signature: Signature::ATMEGA328P, attempts: 2, garbage: b"x\x14abc\x10y".to_vec() }
    );
    assert_eq!(unused, b"z");
}

#[test]
fn late_answers_do_not_disturb_what_follows() {
    let mut machine = Synchronize::new(3);
    machine.step(Input::Start);
    machine.step(Input::TimedOut);
    machine.step(Input::TimedOut);
    // All three attempts are answered at last, the first in two halves, the last behind the next question.
    assert_eq!(machine.step(Input::Bytes(b"\x14")), Output::Need);
    assert_eq!(machine.step(Input::Bytes(b"\x10\x14\x10")), Output::Send(b"\x75\x20".to_vec()));
    let Output::Done { value, unused } = machine.step(Input::Bytes(b"\x14\x10\x14\x1e\x95\x0f\x10")) else {
        panic!("not done")
    };
    assert_eq!((value.signature, value.attempts, unused.len()), (Signature::ATMEGA328P, 3, 0));
}

#[test]
fn silence_is_named() {
    let mut machine = Synchronize::new(2);
    assert!(matches!(machine.step(Input::Start), Output::Send(_)));
    assert!(matches!(machine.step(Input::TimedOut), Output::Send(_)));
    assert_eq!(machine.step(Input::Bytes(b"loop\r\n")), Output::Need);
    let Output::Failed { error, .. } = machine.step(Input::TimedOut) else { panic!("not failed") };
    assert_eq!(error, HostError::NoLoader { attempts: 2, heard: b"loop\r\n".to_vec() });
    assert_eq!(error.to_string(), "get in sync: no loader answered 2 attempts, but \"loop\\r\\n\"");
}

#[test]
fn a_board_that_never_stops_talking_is_given_up() {
    let mut machine = Synchronize::new(3);
    machine.step(Input::Start);
    let chatter = b"tick tick tick tick ".repeat(100);
    let mut fed = 0;
    let error = loop {
        match machine.step(Input::Bytes(&chatter)) {
            Output::Need => fed += chatter.len(),
            Output::Failed { error, .. } => break error,
            other => panic!("{other:?}"),
        }
    };
    assert!(fed <= 64 * 1024, "gave up behind {fed} bytes");
    assert!(matches!(error, HostError::NoLoader { attempts: 1, heard } if heard.len() == 64 * 1024 + 1));
}

#[test]
fn a_loader_that_falls_silent_leaves_the_command_open() {
    let mut machine = Dialogue::new(Leave);
    assert_eq!(machine.step(Input::Start), Output::Send(b"\x51\x20".to_vec()));
    assert_eq!(machine.step(Input::Bytes(b"\x14")), Output::Need);
    let Output::Failed { error, .. } = machine.step(Input::TimedOut) else { panic!("not failed") };
    assert_eq!(error, HostError::TimedOut { doing: Doing::Leave, heard: vec![0x14] });
    assert_eq!(error.to_string(), "leave programming: no answer, but \"\\x14\"");
}

#[test]
fn a_loader_that_gave_way_to_the_application_is_named() {
    let mut machine = Dialogue::new(WritePages::new(pages(2), WireOptions::default()));
    machine.step(Input::Start);
    let Output::Failed { error, unused } = machine.step(Input::Bytes(b"Boot\r\n")) else {
        panic!("not failed")
    };
    let garbage = ReplyError::Garbage { bytes: b"B".to_vec() };
    assert_eq!(error, HostError::Reply { doing: Doing::Write(0), error: garbage });
    assert_eq!(error.to_string(), "write the page at 0x00000: not a reply: \"B\"");
    assert_eq!(unused, b"oot\r\n");
}

#[test]
fn more_than_was_asked_is_an_error_in_the_middle() {
    let mut machine = Dialogue::new(WritePages::new(pages(2), WireOptions::default()));
    machine.step(Input::Start);
    let Output::Failed { error, .. } = machine.step(Input::Bytes(b"\x14\x10\x14\x10")) else {
        panic!("not failed")
    };
    assert_eq!(error, HostError::Unasked { doing: Doing::Write(0), bytes: b"\x14\x10".to_vec() });
}

#[test]
fn a_machine_used_out_of_order_says_so() {
    let misused = |output| matches!(output, Output::Failed { error: HostError::Misused, .. });
    let mut early = Dialogue::new(Leave);
    assert!(misused(early.step(Input::Bytes(b"x"))));
    let mut twice = Dialogue::new(Leave);
    twice.step(Input::Start);
    assert!(misused(twice.step(Input::Start)), "a handoff is not sent twice");
    assert!(misused(twice.step(Input::Bytes(b"\x14\x10"))));
}
