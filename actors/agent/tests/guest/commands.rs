//! What commands are given, say, and come to.

use farmhand_agent_link::{Command, How, LinkError, Refusal, Stream};

use crate::world::{Guest, LEN_MAX, WITHIN, answer, command, is_static, lives, run, shell, wait_until};

#[tokio::test]
async fn how_they_end() {
    let (_guest, link) = Guest::linked().await;
    for (argv, expect) in [
        (&["true"][..], How::Exit(0)),
        (&["sh", "-c", "exit 7"], How::Exit(7)),
        (&["sh", "-c", "kill -9 $$"], How::Signal(9)),
        (
            &["/nowhere/at-all"],
            How::NotStarted("/nowhere/at-all: No such file or directory (os error 2)".into()),
        ),
        (&[], How::NotStarted("no program is named".into())),
    ] {
        let mut running = link.run(command(argv)).await.unwrap();
        assert_eq!(running.ended().await, Ok(expect.clone()), "{argv:?}");
        assert_eq!(running.ended().await, Ok(expect), "asked again, {argv:?}");
    }
    // Each is taken.
    while link.health(WITHIN).await.unwrap().commands > 0 {}
}

#[tokio::test]
async fn both_streams() {
    let (_guest, link) = Guest::linked().await;
    let (out, err, how) = run(&link, "echo a; echo b >&2; echo c").await.collect(LEN_MAX).await.unwrap();
    assert_eq!((&out[..], &err[..], how), (&b"a\nc\n"[..], &b"b\n"[..], How::Exit(0)));
}

#[tokio::test]
async fn ten_megabytes_each_way() {
    let (_guest, link) = Guest::linked().await;
    let bytes: Vec<u8> = (0..10 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut cat = link.run(command(&["cat"])).await.unwrap();
    let controls = cat.controls();
    let sent = bytes.clone();
    let input = tokio::spawn(async move {
        controls.input(sent.into()).await?;
        controls.input_end().await
    });
    let (out, err, how) = cat.collect(LEN_MAX).await.unwrap();
    input.await.unwrap().unwrap();
    assert!(out == bytes, "{} bytes came", out.len());
    assert_eq!((err.len(), how), (0, How::Exit(0)));
}

#[tokio::test]
async fn environment_and_folder() {
    let (guest, link) = Guest::linked().await;
    let folder = guest.path("somewhere");
    std::fs::create_dir(&folder).unwrap();
    let env = vec![("NONCE".into(), "a b=c".into())];
    let asked =
        Command { env, cwd: Some(folder.clone()), ..shell("echo \"$NONCE\"; pwd; echo ${PATH:+more}") };
    let (out, ..) = link.run(asked).await.unwrap().collect(LEN_MAX).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&out), format!("a b=c\n{folder}\nmore\n"));
}

#[tokio::test]
async fn one_who_takes_too_long_is_ended_with_its_children() {
    let (guest, link) = Guest::linked().await;
    let script = "trap '' TERM; sleep 1000 & echo $! >child; echo said; wait; wait";
    let asked = Command { timeout_ms: Some(300), ..shell(script) };
    let (out, _, how) = link.run(asked).await.unwrap().collect(LEN_MAX).await.unwrap();
    assert_eq!((&out[..], how), (&b"said\n"[..], How::TimedOut));
    wait_until(|| !lives(&guest.read("child"))).await;
}

#[tokio::test]
async fn a_signal_is_for_the_group() {
    let (guest, link) = Guest::linked().await;
    let mut running = run(&link, "sleep 1000 & echo $! >child; wait").await;
    guest.wait_for("child", "\n").await;
    running.signal(15).await.unwrap();
    assert_eq!(running.ended().await, Ok(How::Signal(15)));
    wait_until(|| !lives(&guest.read("child"))).await;
}

#[tokio::test]
async fn who_is_dropped_is_killed_and_forgotten() {
    let (guest, link) = Guest::linked().await;
    let running = run(&link, "echo $$ >child; exec sleep 1000").await;
    guest.wait_for("child", "\n").await;
    drop(running);
    wait_until(|| !lives(&guest.read("child"))).await;
    while link.health(WITHIN).await.unwrap().commands > 0 {}
}

#[tokio::test]
async fn one_who_leaves_a_silent_child_behind_has_ended() {
    let (guest, link) = Guest::linked().await;
    let (out, _, how) =
        run(&link, "sleep 1000 & echo $! >child; echo done").await.collect(LEN_MAX).await.unwrap();
    assert_eq!((&out[..], how), (&b"done\n"[..], How::Exit(0)));
    assert!(lives(&guest.read("child")), "it is left alone");
    assert_eq!(answer(&link, "kill -9 $(cat child); echo x").await.unwrap(), "x\n");
}

#[tokio::test]
async fn one_who_reads_nothing_is_not_waited_for_when_it_ends() {
    let (_guest, link) = Guest::linked().await;
    let mut running = run(&link, "exec 0<&-; exit 3").await;
    let sent = running.input(vec![7; 1 << 20]).await;
    assert!(matches!(sent, Ok(()) | Err(LinkError::Ended)), "{sent:?}");
    assert_eq!(running.ended().await, Ok(How::Exit(3)));
    assert_eq!(running.input(vec![7; 1 << 20]).await, Err(LinkError::Ended));
}

#[tokio::test]
async fn ten_at_once_and_each_its_own_answer() {
    let (_guest, link) = Guest::linked().await;
    let asked: Vec<_> = (0..10)
        .map(|number| {
            let link = link.clone();
            tokio::spawn(
                async move { answer(&link, &format!("sleep 0.0{number}; echo nonce-{number}")).await },
            )
        })
        .collect();
    for (number, said) in asked.into_iter().enumerate() {
        assert_eq!(said.await.unwrap().unwrap(), format!("nonce-{number}\n"));
    }
}

#[tokio::test]
async fn one_whose_reader_has_stopped_stops_nobody_else() {
    let (guest, link) = Guest::linked().await;
    let mut stopped = Vec::new();
    for _ in 0..4 {
        stopped.push(run(&link, "head -c 4000000 /dev/zero; echo done >>done").await);
    }
    let stuck_input = run(&link, "sleep 1000").await;
    let controls = stuck_input.controls();
    let input = tokio::spawn(async move { controls.input(vec![0; 1 << 20].into()).await });
    assert_eq!(answer(&link, "head -c 4000000 /dev/zero | wc -c").await.unwrap(), "4000000\n");
    assert_eq!(guest.read("done"), "", "they wait");
    for mut running in stopped {
        let (out, _, how) = running.collect(LEN_MAX).await.unwrap();
        assert_eq!((out.len(), how), (4_000_000, How::Exit(0)));
    }
    drop(stuck_input);
    assert!(input.await.unwrap().is_err());
}

#[tokio::test]
async fn output_comes_while_the_command_runs() {
    let (_guest, link) = Guest::linked().await;
    let mut running = run(&link, "echo one; read -r word; echo $word").await;
    assert_eq!(running.output.recv().await, Some((Stream::Out, "one\n".into())));
    running.input("two\n").await.unwrap();
    assert_eq!(running.output.recv().await, Some((Stream::Out, "two\n".into())));
    assert_eq!(running.output.recv().await, None);
    assert_eq!(running.ended().await, Ok(How::Exit(0)));
}

#[tokio::test]
async fn there_is_an_end_to_how_many() {
    let (_guest, link) = Guest::linked().await;
    let mut all = Vec::new();
    for _ in 0..64 {
        all.push(link.run(command(&["cat"])).await.unwrap());
    }
    let refused = link.run(command(&["true"])).await.map(|running| running.id());
    assert_eq!(refused, Err(LinkError::Refused { why: Refusal::Busy }));
    for mut running in all {
        running.input_end().await.unwrap();
        assert_eq!(running.ended().await, Ok(How::Exit(0)));
    }
    assert_eq!(answer(&link, "echo again").await.unwrap(), "again\n");
    let long = link.run(command(&["echo", &"x".repeat(70_000)])).await.map(|running| running.id());
    assert_eq!(long, Err(LinkError::TooLong));
}

#[tokio::test]
async fn the_program_needs_nothing_of_the_guest() {
    let guest = Guest::new().await;
    assert!(is_static(&guest.folder.path().join("farmhand-agent")));
}
