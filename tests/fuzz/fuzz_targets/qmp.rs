//! Any stream from QEMU: no panic, the same in one chunk and byte by byte, what it may hold is bounded, an error stays, and all
//! that is said of it is fit to show.
#![no_main]

use farmhand_wire::qmp::{Answer, Client, ClientError, Command, Event, Fed, Heard, IN_FLIGHT_MAX, Id};
use farmhand_wire::{TEXT_LEN_MAX, Text};
use libfuzzer_sys::fuzz_target;

const COMMANDS: [Command; 8] = [
    Command::QueryStatus,
    Command::QueryJobs,
    Command::QueryBlock,
    Command::QueryChardev,
    Command::QueryMigrate,
    Command::QueryName,
    Command::QueryVersion,
    Command::Stop,
];

type Found = (Vec<Heard>, Vec<u8>, Option<ClientError>, Client);

// Connection 0, so that the ids of a stream are small numbers.
fn hear<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Found {
    let mut client = Client::new(0);
    let (mut all, mut output) = (Vec::new(), Vec::new());
    let mut last: Option<Id> = None;
    let mut commands = COMMANDS.iter().cycle();
    for chunk in chunks {
        let mut rest = chunk;
        loop {
            match client.feed(rest) {
                Ok(Fed::Need) => break,
                Ok(Fed::Heard { heard, unused }) => {
                    assert!(rest.ends_with(unused) && unused.len() < rest.len());
                    rest = unused;
                    if let Heard::Event { event: Event::Resume, .. } = heard {
                        let oldest = client.unanswered().next();
                        assert!(oldest.is_none_or(|(id, _)| client.give_up(id)));
                    }
                    all.push(heard);
                    // As many as may be are in flight, so that most ids have been asked.
                    for _ in 0..=IN_FLIGHT_MAX {
                        let Ok(id) = client.send(commands.next().unwrap()) else { break };
                        assert!(last < Some(id));
                        last = Some(id);
                    }
                    assert!(client.unanswered().count() <= IN_FLIGHT_MAX);
                    output.extend(client.take_output());
                }
                Err(error) => {
                    assert_eq!(client.feed(b"{}"), Err(error.clone()));
                    assert!(!client.is_ready() && client.send(&Command::Stop).is_err());
                    return (all, output, Some(error), client);
                }
            }
        }
    }
    (all, output, None, client)
}

fn check(text: &Text) {
    assert!(text.as_str().len() <= TEXT_LEN_MAX);
    assert_eq!(&Text::new(text.as_str()), text);
}

fuzz_target!(|bytes: &[u8]| {
    let (all, output, error, client) = hear(std::iter::once(bytes));
    for chunk_len in [1, 7] {
        let (all2, output2, error2, client2) = hear(bytes.chunks(chunk_len));
        assert_eq!((&all, &output, &error), (&all2, &output2, &error2));
        assert_eq!(client.ignored(), client2.ignored());
    }
    if let Some(error) = error {
        assert!(error.to_string().len() <= 2 * TEXT_LEN_MAX + 200 && !error.to_string().contains('\u{1b}'));
    }
    for heard in &all {
        match heard {
            Heard::Greeting(greeting) => greeting.capabilities.iter().for_each(check),
            Heard::Answer { result: Ok(Answer::Jobs(jobs)), .. } => {
                jobs.iter().for_each(|job| check(&job.id))
            }
            Heard::Answer { result: Err(failure), .. } => assert!(!failure.to_string().contains('\u{1b}')),
            Heard::Event { event: Event::Other { name }, .. } => check(name),
            _ => {}
        }
    }
});
