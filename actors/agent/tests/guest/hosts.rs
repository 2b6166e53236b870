//! Hosts that come and go, and a line that says what nobody said.

use std::time::Duration;

use farmhand_agent_link::{AgentLink, How, LinkError, Refusal};
use farmhand_agent_messages::{ToAgent, encode};

use crate::world::{Guest, LEN_MAX, WITHIN, answer, run, shell};

#[tokio::test]
async fn garbage_and_torn_frames_cost_themselves() {
    let guest = Guest::new().await;
    let torn = encode(&ToAgent::Run { id: 3, command: shell("echo torn >>ran") }).unwrap();
    guest.inject(&[0xff; 3000]).await;
    guest.inject(&torn[..torn.len() / 2]).await;
    let (link, hello) = guest.link().await;
    assert_eq!((hello.highest, hello.epoch), (0, 0));
    assert_eq!(answer(&link, "echo whole >>ran; cat ran").await.unwrap(), "whole\n");
    for bad in [&torn[..torn.len() - 3], &[1, 2, 3], &[7; 200_000]] {
        guest.inject(&[bad, &[0]].concat()).await;
        assert_eq!(answer(&link, "echo more").await.unwrap(), "more\n");
    }
    // The first of them may have come before the host or in the midst of its greetings.
    assert!(link.health(WITHIN).await.unwrap().bad_frames >= 4);
    assert_eq!(guest.read("ran"), "whole\n");
}

/// Seen red where the agent takes an id that it had.
#[tokio::test]
async fn what_is_said_twice_is_executed_once() {
    let (guest, link) = Guest::linked().await;
    // An agent takes any id above those it had: this one is far above those of the clock.
    let again = encode(&ToAgent::Run { id: 1 << 62, command: shell("echo ran >>nonce; read x") }).unwrap();
    for _ in 0..5 {
        guest.inject(&again).await;
    }
    guest.wait_for("nonce", "ran\n").await;
    guest.inject(&encode(&ToAgent::InputEnd { id: 1 << 62 }).unwrap()).await;
    guest.inject(&again).await;
    // Its end was nobody's, and was taken.
    while link.health(WITHIN).await.unwrap().commands > 0 {}
    guest.inject(&again).await;
    guest.cut().await;
    link.gone().await;
    let (link, hello) = guest.link().await;
    assert_eq!(hello.highest, 1 << 62);
    assert_eq!(answer(&link, "cat nonce").await.unwrap(), "ran\n");
}

/// Seen red where a new host does not end the one before it.
#[tokio::test]
async fn a_command_outlives_its_host_and_is_resumed_without_a_byte_too_many() {
    let (guest, link) = Guest::linked().await;
    let mut running = run(&link, "seq 1 300000; read -r word; echo $word; exit 5").await;
    let mut out = Vec::new();
    while out.len() < 500_000 {
        out.extend(running.output.recv().await.unwrap().1);
    }
    guest.cut().await;
    link.gone().await;
    assert!(matches!(running.ended().await, Err(LinkError::Gone(_))));
    assert!(matches!(link.run(shell("true")).await, Err(LinkError::Gone(_))));
    assert!(matches!(link.health(WITHIN).await, Err(LinkError::Gone(_))));
    let id = running.id();

    let (link, hello) = guest.link().await;
    assert_eq!(hello.commands, [id]);
    assert_eq!(answer(&link, "echo meanwhile").await.unwrap(), "meanwhile\n");
    let mut resumed = link.resume(id, out.len() as u64).await.unwrap();
    resumed.input("last\n").await.unwrap();
    let (rest, _, how) = resumed.collect(LEN_MAX).await.unwrap();
    out.extend(rest);
    let expect: String = (1..=300_000).map(|number| format!("{number}\n")).collect();
    assert!(out == (expect + "last\n").as_bytes(), "{} bytes came", out.len());
    assert_eq!(how, How::Exit(5));
    let old = link.resume(id, 0).await.map(|running| running.id());
    assert_eq!(old, Err(LinkError::Refused { why: Refusal::Old }));
}

#[tokio::test]
async fn what_an_earlier_host_left_can_be_given_up() {
    let (guest, link) = Guest::linked().await;
    let (id, _) = run(&link, "exec sleep 1000").await.keep();
    guest.cut().await;
    link.gone().await;
    let (link, hello) = guest.link().await;
    assert_eq!(hello.commands, [id]);
    link.give_up(id).await.unwrap();
    while link.health(WITHIN).await.unwrap().commands > 0 {}
}

#[tokio::test]
async fn many_hosts_one_after_another() {
    let guest = Guest::new().await;
    let mut boot = None;
    for number in 0..20 {
        let (link, hello) = guest.link().await;
        assert_eq!(*boot.get_or_insert(hello.boot), hello.boot, "it is one agent");
        // Most of them go in the middle of something.
        let talks = run(&link, "yes").await;
        assert_eq!(answer(&link, &format!("echo {number}")).await.unwrap(), format!("{number}\n"));
        link.give_up(talks.keep().0).await.unwrap();
        if number % 2 == 0 {
            guest.cut().await;
            link.gone().await;
        }
    }
}

#[tokio::test]
async fn an_agent_that_is_killed_is_gone() {
    let (mut guest, link) = Guest::linked().await;
    let mut running = run(&link, "exec sleep 1").await;
    guest.agent.kill().await.unwrap();
    assert!(matches!(running.ended().await, Err(LinkError::Gone(_))));
    assert!(matches!(running.input("x").await, Err(LinkError::Gone(_))));
    assert!(matches!(link.run(shell("true")).await, Err(LinkError::Gone(_))));
    assert!(matches!(link.restored(1, WITHIN).await, Err(LinkError::Gone(_))));
    assert!(matches!(link.gone().await, LinkError::Gone(_)));
}

#[tokio::test]
async fn a_greeting_that_does_not_come_is_an_error() {
    let (guest, _first) = Guest::linked().await;
    // As at QEMU's, a second client is connected and hears nothing.
    let within = Duration::from_millis(300);
    let second = AgentLink::connect(&guest.chardev(), within).await.map(|_| ());
    assert_eq!(second, Err(LinkError::Silent { what: "a greeting", within }));
    let nobody = AgentLink::connect(guest.path("nobody").as_ref(), WITHIN).await.map(|_| ());
    assert!(matches!(nobody, Err(LinkError::Gone(_))));
}
