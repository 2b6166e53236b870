//! An agent that is none of ours, or speaks to somebody else; and a port that is a terminal.

use std::os::fd::AsFd;
use std::time::Duration;

use farmhand_agent_link::{AgentLink, How, LinkError, Refusal};
use farmhand_agent_messages::{Data, Decoder, FromAgent, Greeting, Health, Stream, ToAgent, VERSION, encode};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use crate::world::{Guest, WITHIN, shell};

fn greeting() -> Greeting {
    Greeting { boot: [1; 16], epoch: 0, highest: 0, commands: Vec::new() }
}

/// The usual answer to a greeting, and nothing else.
fn greets(message: &ToAgent) -> Vec<FromAgent> {
    match message {
        ToAgent::Hello { nonce, .. } => {
            vec![FromAgent::Hello { version: VERSION, nonce: *nonce, greeting: greeting() }]
        }
        _ => Vec::new(),
    }
}

/// Links to an agent that answers so.
async fn linked(
    mut answers: impl FnMut(&ToAgent) -> Vec<FromAgent> + Send + 'static,
) -> Result<(TempDir, AgentLink), LinkError> {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("chardev");
    let listener = UnixListener::bind(&path).expect("a socket");
    tokio::spawn(async move {
        let (mut host, _) = listener.accept().await.expect("a host");
        let (mut decoder, mut chunk) = (Decoder::<ToAgent>::default(), vec![0; 4096]);
        while let Ok(read) = host.read(&mut chunk).await {
            let mut rest = &chunk[..read];
            while let Some(Ok(message)) = decoder.next(&mut rest) {
                for answer in answers(&message) {
                    let frame = encode(&answer).expect("a short message");
                    if host.write_all(&frame).await.is_err() {
                        return;
                    }
                }
            }
            if read == 0 {
                return;
            }
        }
    });
    let (link, _) = AgentLink::connect(&path, WITHIN).await?;
    Ok((folder, link))
}

/// Seen red where any acknowledgement is this one's.
#[tokio::test]
async fn another_epochs_acknowledgement_is_not_taken_for_this_one() {
    let (_folder, link) = linked(|message| match message {
        ToAgent::Restored { epoch } => vec![FromAgent::Restored { epoch: epoch.wrapping_sub(1) }],
        other => greets(other),
    })
    .await
    .unwrap();
    let within = Duration::from_secs(2);
    let silent = LinkError::Silent { what: "a restore", within };
    assert_eq!(link.restored(5, within).await, Err(silent));
    assert!(link.ignored().epochs >= 1);
}

#[tokio::test]
async fn a_restore_is_said_until_it_is_acknowledged() {
    let mut heard = 0;
    let (_folder, link) = linked(move |message| match message {
        ToAgent::Restored { epoch } => {
            heard += 1;
            if heard < 3 { Vec::new() } else { vec![FromAgent::Restored { epoch: *epoch }; 2] }
        }
        other => greets(other),
    })
    .await
    .unwrap();
    assert_eq!(link.restored(5, WITHIN).await, Ok(()));
    assert_eq!(link.ignored().epochs, 0, "the same one twice is nobody else's");
}

/// QEMU keeps the line. Seen red where a second greeting is not looked at: it is waited for without an end.
#[tokio::test]
async fn another_agent_on_the_same_line_is_another() {
    let mut greeted = 0;
    let (_folder, link) = linked(move |message| match message {
        ToAgent::Hello { nonce, .. } => {
            greeted += 1;
            let greeting = Greeting { boot: [greeted.min(3); 16], ..greeting() };
            let hello = |nonce| FromAgent::Hello { version: VERSION, nonce, greeting: greeting.clone() };
            // One that is for somebody else says nothing of who is there.
            if greeted == 1 { vec![hello(*nonce)] } else { vec![hello(nonce ^ 1), hello(*nonce)] }
        }
        ToAgent::Run { id, .. } => vec![FromAgent::Accepted { id: *id }],
        _ => Vec::new(),
    })
    .await
    .unwrap();
    let mut running = link.run(shell("true")).await.unwrap();
    let gone = tokio::time::timeout(WITHIN, running.ended()).await.expect("it is not waited for");
    assert_eq!(gone, Err(LinkError::Gone("it has ended, and another is there".into())));
}

/// Seen red where it is asked once: an answer that is lost is waited for as long as it may take.
#[tokio::test]
async fn how_a_guest_is_is_asked_until_it_is_answered() {
    let mut heard = Vec::new();
    let (_folder, link) = linked(move |message| match message {
        ToAgent::Health { nonce } => {
            heard.push(*nonce);
            assert!(heard.iter().all(|one| one == nonce), "it is one question");
            let health = Health { commands: 3, ..Health::default() };
            if heard.len() < 3 { Vec::new() } else { vec![FromAgent::Health { nonce: *nonce, health }; 2] }
        }
        other => greets(other),
    })
    .await
    .unwrap();
    assert_eq!(link.health(WITHIN).await.map(|health| health.commands), Ok(3));
}

#[tokio::test]
async fn a_command_is_said_until_it_is_answered() {
    let mut heard = Vec::new();
    let (_folder, link) = linked(move |message| match message {
        ToAgent::Run { id, .. } => {
            heard.push(*id);
            assert!(heard.iter().all(|one| one == id), "by one id");
            if heard.len() < 3 {
                return Vec::new();
            }
            vec![FromAgent::Accepted { id: *id }, FromAgent::Ended { id: *id, how: How::Exit(0) }]
        }
        other => greets(other),
    })
    .await
    .unwrap();
    assert_eq!(link.run(shell("true")).await.unwrap().ended().await, Ok(How::Exit(0)));
}

#[tokio::test]
async fn what_was_for_a_predecessor_is_not_heard() {
    let (_folder, link) = linked(|message| {
        let mut all = vec![
            FromAgent::Hello { version: 77, nonce: 0, greeting: greeting() },
            FromAgent::Restored { epoch: 5 },
            FromAgent::Ended { id: 3, how: How::Exit(9) },
            FromAgent::Refused { id: 3, why: Refusal::Old },
        ];
        all.extend(greets(message));
        all
    })
    .await
    .unwrap();
    let within = Duration::from_millis(400);
    assert!(link.restored(6, within).await.is_err());
}

#[tokio::test]
async fn another_version_is_said_so() {
    let linked = linked(|message| match message {
        ToAgent::Hello { nonce, .. } => {
            vec![FromAgent::Hello { version: VERSION + 1, nonce: *nonce, greeting: greeting() }]
        }
        _ => Vec::new(),
    });
    assert_eq!(linked.await.map(|_| ()), Err(LinkError::Version { theirs: VERSION + 1 }));
}

#[tokio::test]
async fn an_agent_that_breaks_the_rules_is_gone() {
    let chunk = |id, at| FromAgent::Output { id, stream: Stream::Out, at, bytes: Data(vec![0; 16 << 10]) };
    let more_than_a_window: fn(u64) -> Vec<u64> = |_| (0..17).map(|piece| piece * (16 << 10)).collect();
    let a_gap: fn(u64) -> Vec<u64> = |_| vec![1];
    for pieces in [more_than_a_window, a_gap] {
        let (_folder, link) = linked(move |message| match message {
            ToAgent::Run { id, .. } => {
                let mut all = vec![FromAgent::Accepted { id: *id }];
                all.extend(pieces(*id).into_iter().map(|at| chunk(*id, at)));
                all
            }
            other => greets(other),
        })
        .await
        .unwrap();
        let _running = link.run(shell("true")).await;
        assert!(matches!(link.gone().await, LinkError::Gone(_)));
    }
}

/// A terminal changes bytes unless it is told not to.
#[tokio::test]
async fn a_port_may_be_a_terminal() {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let port = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    // Held open, so that there is a terminal before the agent has it.
    let _theirs = std::fs::OpenOptions::new().read(true).write(true).open(&port).unwrap();
    let _agent = Guest::agent_at(&port);
    let heard = tokio::task::spawn_blocking(move || {
        let (mut decoder, mut chunk) = (Decoder::<FromAgent>::default(), [0; 256]);
        // All values that a byte has, some of which mean something to a terminal.
        let nonce = 0x0304_0a0d_1113_7f00;
        loop {
            let mut hello = vec![0];
            hello.extend(encode(&ToAgent::Hello { version: VERSION, nonce }).expect("a short message"));
            rustix::io::write(&ours, &hello).expect("it is taken");
            std::thread::sleep(Duration::from_millis(100));
            rustix::io::ioctl_fionbio(ours.as_fd(), true).expect("a descriptor");
            while let Ok(read) = rustix::io::read(&ours, &mut chunk) {
                let mut rest = &chunk[..read];
                while let Some(next) = decoder.next(&mut rest) {
                    if let Ok(FromAgent::Hello { nonce: answered, .. }) = next {
                        return answered == nonce;
                    }
                }
            }
        }
    });
    assert!(tokio::time::timeout(WITHIN, heard).await.unwrap().unwrap());
}
