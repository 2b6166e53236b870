//! A guest that is told that it was restored.

use std::time::Duration;

use farmhand_agent_link::{How, LinkError};

use crate::world::{Guest, WITHIN, answer, lives, run, wait_until};

#[tokio::test]
async fn what_ran_is_ended_and_told() {
    let (guest, link) = Guest::linked().await;
    let mut sleeps = run(&link, "echo $$ >child; exec sleep 1000").await;
    let mut talks = run(&link, "yes").await;
    let mut ended = run(&link, "exit 4").await;
    assert_eq!(ended.ended().await, Ok(How::Exit(4)));
    guest.wait_for("child", "\n").await;
    link.restored(5, WITHIN).await.unwrap();
    assert!(!lives(&guest.read("child")), "it has ended before the acknowledgement");
    assert_eq!(sleeps.ended().await, Ok(How::Aborted { epoch: 5 }));
    assert_eq!(talks.ended().await, Ok(How::Aborted { epoch: 5 }));
    assert_eq!(answer(&link, "echo goes on").await.unwrap(), "goes on\n");
}

/// Seen red where the epoch that is had counts as a new one.
#[tokio::test]
async fn the_same_epoch_ends_nothing_and_an_older_one_is_not_acknowledged() {
    let (_guest, link) = Guest::linked().await;
    link.restored(5, WITHIN).await.unwrap();
    let cat = run(&link, "cat").await;
    link.restored(5, WITHIN).await.unwrap();
    let within = Duration::from_millis(700);
    let silent = LinkError::Silent { what: "a restore", within };
    assert_eq!(link.restored(4, within).await, Err(silent));
    let health = link.health(WITHIN).await.unwrap();
    assert!(health.repeated_restores >= 1 && health.ignored_restores >= 1, "{health:?}");
    assert_eq!(health.commands, 1);
    cat.input_end().await.unwrap();
    assert_eq!({ cat }.ended().await, Ok(How::Exit(0)));
}

#[tokio::test]
async fn the_epoch_is_in_the_greeting_and_commands_of_another_host_are_ended() {
    let (guest, link) = Guest::linked().await;
    run(&link, "echo $$ >child; exec sleep 1000").await.keep();
    guest.wait_for("child", "\n").await;
    guest.cut().await;
    link.gone().await;
    let (link, hello) = guest.link().await;
    assert_eq!((hello.epoch, hello.commands.len()), (0, 1));
    link.restored(9, WITHIN).await.unwrap();
    assert!(!lives(&guest.read("child")));
    // Its end is nobody's, and is taken.
    while link.health(WITHIN).await.unwrap().commands > 0 {}
    assert_eq!(link.ignored().strangers, 1);
    guest.cut().await;
    link.gone().await;
    assert_eq!(guest.link().await.1.epoch, 9);
}

/// A host that has stopped reading is obeyed all the same.
#[tokio::test]
async fn a_host_who_reads_nothing_is_heard() {
    use farmhand_agent_messages::{ToAgent, VERSION, encode};
    use tokio::io::AsyncWriteExt;

    let guest = Guest::new().await;
    let mut deaf = tokio::net::UnixStream::connect(guest.chardev()).await.unwrap();
    let mut bytes = vec![0];
    bytes.extend(encode(&ToAgent::Hello { version: VERSION, nonce: 1 }).unwrap());
    for id in 1..=8 {
        let command = crate::world::shell(&format!("echo $$ >child{id}; exec yes"));
        bytes.extend(encode(&ToAgent::Run { id, command }).unwrap());
    }
    deaf.write_all(&bytes).await.unwrap();
    for id in 1..=8 {
        guest.wait_for(&format!("child{id}"), "\n").await;
    }
    deaf.write_all(&encode(&ToAgent::Signal { id: 1, number: 9 }).unwrap()).await.unwrap();
    wait_until(|| !lives(&guest.read("child1"))).await;
    deaf.write_all(&encode(&ToAgent::Restored { epoch: 1 }).unwrap()).await.unwrap();
    for id in 2..=8 {
        wait_until(|| !lives(&guest.read(&format!("child{id}")))).await;
    }
}
