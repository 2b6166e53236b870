//! Both ends of fastboot over UDP, with a network between them that loses, doubles and reorders: what one writes
//! the other hears, in order and once. By proptest over long runs, and by enumeration of every short one.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::collections::{HashSet, VecDeque};

use farmhand_wire::fastboot::udp::{ATTEMPTS_MAX, Device, DeviceEvent, Host, Step, UdpError};
use proptest::collection::vec;
use proptest::prelude::*;

/// What the host does next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Turn {
    /// It writes this.
    Write(Vec<u8>),
    /// It reads this, which the device says; `late`: only once it is asked.
    Read { message: Vec<u8>, late: bool },
}

/// What happens on the network.
#[derive(Debug, Clone, Copy)]
enum Act {
    ToDevice { which: u8, keep: bool },
    ToHost { which: u8, keep: bool },
    LoseToDevice(u8),
    LoseToHost(u8),
    Timeout,
}

/// Both ends, all that is under way, and all that has arrived.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    host: Host,
    device: Device,
    to_device: Vec<Vec<u8>>,
    to_host: Vec<Vec<u8>>,
    turns: VecDeque<Turn>,
    /// The message that the device says once it is asked.
    late: Option<Vec<u8>>,
    /// Pieces of a message that has not ended.
    writing: Vec<u8>,
    reading: Vec<u8>,
    written: Vec<Vec<u8>>,
    read: Vec<Vec<u8>>,
    connections: u32,
    finished: bool,
    error: Option<String>,
}

impl World {
    fn new(seq: u16, turns: Vec<Turn>) -> Self {
        let mut host = Host::new(512);
        host.start().unwrap();
        let to_device = vec![host.datagram().to_vec()];
        Self {
            host,
            device: Device::new(seq, 600),
            to_device,
            to_host: Vec::new(),
            turns: turns.into(),
            late: None,
            writing: Vec::new(),
            reading: Vec::new(),
            written: Vec::new(),
            read: Vec::new(),
            connections: 0,
            finished: false,
            error: None,
        }
    }

    fn device_hears(&mut self, datagram: &[u8]) {
        let answer = self.device.on_datagram(datagram);
        self.to_host.extend(answer.send);
        match answer.event {
            Some(DeviceEvent::Connected { packet_len_max, .. }) => {
                assert_eq!(packet_len_max, 512);
                self.connections += 1;
            }
            Some(DeviceEvent::Data { bytes, last }) => {
                self.writing.extend_from_slice(bytes);
                if last {
                    self.written.push(std::mem::take(&mut self.writing));
                }
            }
            Some(DeviceEvent::ReadPending) => {
                let message = self.late.take().expect("the host reads only what there is");
                self.to_host.extend(self.device.push(&message));
            }
            None => {}
        }
    }

    fn host_hears(&mut self, datagram: &[u8]) {
        match self.host.on_datagram(datagram) {
            Ok(Step::Send) => self.to_device.push(self.host.datagram().to_vec()),
            Ok(Step::Ignored) => {}
            Ok(Step::Wait) => panic!("this device never answers with nothing"),
            Ok(Step::Connected { packet_len_max, .. }) => {
                assert_eq!(packet_len_max, 512);
                self.next_turn();
            }
            Ok(Step::Written) => self.next_turn(),
            Ok(Step::Received { bytes, last }) => {
                self.reading.extend_from_slice(bytes);
                if last {
                    self.read.push(std::mem::take(&mut self.reading));
                    self.next_turn();
                } else {
                    assert_eq!(self.host.read(), Ok(Step::Send));
                    self.to_device.push(self.host.datagram().to_vec());
                }
            }
            Err(error) => self.error = Some(error.to_string()),
        }
    }

    fn next_turn(&mut self) {
        match self.turns.pop_front() {
            None => {
                self.finished = true;
                return;
            }
            Some(Turn::Write(message)) => assert_eq!(self.host.write(&message), Ok(Step::Send)),
            Some(Turn::Read { message, late }) => {
                if late {
                    self.late = Some(message);
                } else {
                    self.to_host.extend(self.device.push(&message));
                }
                assert_eq!(self.host.read(), Ok(Step::Send));
            }
        }
        self.to_device.push(self.host.datagram().to_vec());
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::ToDevice { which, keep } => {
                if let Some(datagram) = take(&mut self.to_device, which, keep) {
                    self.device_hears(&datagram);
                }
            }
            Act::ToHost { which, keep } => {
                if let Some(datagram) = take(&mut self.to_host, which, keep) {
                    self.host_hears(&datagram);
                }
            }
            Act::LoseToDevice(which) => drop(take(&mut self.to_device, which, false)),
            Act::LoseToHost(which) => drop(take(&mut self.to_host, which, false)),
            Act::Timeout => match self.host.on_timeout() {
                Ok(Step::Send) => self.to_device.push(self.host.datagram().to_vec()),
                Ok(step) => assert_eq!(step, Step::Ignored),
                Err(error) => self.error = Some(error.to_string()),
            },
        }
    }

    /// Nothing has arrived but what was sent, in order; and all of it, once the host is done.
    fn check(&self, turns: &[Turn]) {
        let mut sent = turns.iter().filter_map(|turn| match turn {
            Turn::Write(message) => Some(message),
            Turn::Read { .. } => None,
        });
        let mut said = turns.iter().filter_map(|turn| match turn {
            Turn::Read { message, .. } => Some(message),
            Turn::Write(_) => None,
        });
        assert!(self.written.iter().all(|message| Some(message) == sent.next()));
        assert!(self.read.iter().all(|message| Some(message) == said.next()));
        assert!(self.connections <= 1);
        if self.finished {
            assert_eq!((sent.next(), said.next()), (None, None), "the host believes that all has arrived");
        }
    }
}

/// One of those that are under way; it may arrive again.
fn take(network: &mut Vec<Vec<u8>>, which: u8, keep: bool) -> Option<Vec<u8>> {
    if network.is_empty() {
        return None;
    }
    let at = usize::from(which) % network.len();
    Some(if keep { network[at].clone() } else { network.remove(at) })
}

fn turn() -> impl Strategy<Value = Turn> {
    // Around the length of one packet's data, 508, and of two.
    let len = prop_oneof![1usize..20, 506usize..511, 1014usize..1019];
    let message =
        (len, any::<u8>()).prop_map(|(len, first)| (0..len).map(|n| first.wrapping_add(n as u8)).collect());
    let message = message.boxed();
    prop_oneof![
        message.clone().prop_map(Turn::Write),
        (message, any::<bool>()).prop_map(|(message, late)| Turn::Read { message, late }),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (any::<u8>(), prop::bool::weighted(0.2)).prop_map(|(which, keep)| Act::ToDevice { which, keep }),
        4 => (any::<u8>(), prop::bool::weighted(0.2)).prop_map(|(which, keep)| Act::ToHost { which, keep }),
        1 => any::<u8>().prop_map(Act::LoseToDevice),
        1 => any::<u8>().prop_map(Act::LoseToHost),
        2 => Just(Act::Timeout),
    ]
}

proptest! {
    #[test]
    fn what_is_sent_arrives_once_and_in_order(
        seq in prop_oneof![any::<u16>(), 0xfff0u16..=0xffff],
        turns in vec(turn(), 0..12),
        acts in vec(act(), 0..300),
    ) {
        let mut world = World::new(seq, turns.clone());
        for act in acts {
            world.act(act);
            world.check(&turns);
        }
        // From here on the network only delivers: all must arrive, unless the host has given up before.
        while !world.finished && world.error.is_none() {
            while !world.to_device.is_empty() || !world.to_host.is_empty() {
                world.act(Act::ToDevice { which: 0, keep: false });
                world.act(Act::ToHost { which: 0, keep: false });
                world.check(&turns);
            }
            world.act(Act::Timeout);
        }
        world.check(&turns);
        if let Some(error) = world.error {
            prop_assert_eq!(error, UdpError::NoAnswer { attempts: 4, first: true }.to_string());
        }
    }

    #[test]
    fn a_network_that_breaks_ends_in_an_error(turns in vec(turn(), 1..6), delivered in 0usize..30) {
        let mut world = World::new(7, turns.clone());
        for _ in 0..delivered {
            world.act(Act::ToDevice { which: 0, keep: false });
            world.act(Act::ToHost { which: 0, keep: false });
        }
        for _ in 0..=ATTEMPTS_MAX {
            world.act(Act::Timeout);
        }
        prop_assert!(world.finished != world.error.is_some());
        world.check(&turns);
    }
}

/// Every order of events of a short conversation, with so many losses, doubles and time-outs in all.
#[test]
fn every_short_run_delivers_once_and_in_order() {
    const BUDGET: u8 = 3;
    let turns = vec![
        Turn::Write(vec![1; 509]),
        Turn::Read { message: vec![2; 509], late: true },
        Turn::Write(b"boot".to_vec()),
        Turn::Read { message: b"OKAY".to_vec(), late: false },
    ];
    let mut todo = vec![(World::new(0xfffe, turns.clone()), BUDGET)];
    let mut seen = HashSet::new();
    let mut finished = 0usize;
    while let Some((world, budget)) = todo.pop() {
        if !seen.insert((world.clone(), budget)) {
            continue;
        }
        world.check(&turns);
        assert_eq!(world.error, None);
        if world.finished {
            finished += 1;
        }
        let quiet = world.to_device.is_empty() && world.to_host.is_empty();
        let mut go = |act, cost: u8| {
            if let Some(left) = budget.checked_sub(cost) {
                let mut next = world.clone();
                next.act(act);
                // The order of what is under way does not matter: any may arrive next.
                next.to_device.sort_unstable();
                next.to_host.sort_unstable();
                todo.push((next, left));
            }
        };
        for which in 0..u8::try_from(world.to_device.len()).unwrap() {
            go(Act::ToDevice { which, keep: false }, 0);
            go(Act::ToDevice { which, keep: true }, 1);
            go(Act::LoseToDevice(which), 1);
        }
        for which in 0..u8::try_from(world.to_host.len()).unwrap() {
            go(Act::ToHost { which, keep: false }, 0);
            go(Act::ToHost { which, keep: true }, 1);
            go(Act::LoseToHost(which), 1);
        }
        if !world.finished {
            // In a network where nothing is under way, the only thing that can happen costs nothing.
            go(Act::Timeout, u8::from(!quiet));
        }
    }
    assert!(finished > 100, "{finished} ends of {} worlds", seen.len());
}
