//! Each command as it is on the wire (QAPI, by its name), and each word, answer and event that the transcripts do not hold.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::time::Duration;

use farmhand_wire::qmp::{
    Answer, BlockIoError, COMMAND_LEN_MAX, Cause, Client, Command, DeviceDeleted, ErrorClass, Event, Failure,
    Fed, Heard, IoErrorAction, IoOperation, JobStatus, JobStatusChange, JobType, MigrationCapability,
    MigrationStatus, MigrationUri, PanicAction, PortChange, RebootAction, RunState, SendError, ShutdownCause,
    Snapshot, SwitchCapability, WatchdogAction,
};

/// A client of connection 0 that has negotiated; its next id is 1.
fn ready() -> Client {
    let mut client = Client::new(0);
    let greeting =
        br#"{"QMP":{"version":{"qemu":{"micro":0,"minor":0,"major":9},"package":""},"capabilities":[]}}"#;
    assert!(matches!(client.feed(greeting), Ok(Fed::Heard { heard: Heard::Greeting(_), unused: b"" })));
    assert_eq!(client.take_output(), b"{\"execute\":\"qmp_capabilities\",\"id\":0}\n");
    assert!(matches!(client.feed(br#"{"return":{},"id":0}"#), Ok(Fed::Heard { heard: Heard::Ready, .. })));
    client
}

fn one(client: &mut Client, bytes: &str) -> Heard {
    match client.feed(bytes.as_bytes()) {
        Ok(Fed::Heard { heard, unused: b"" }) => heard,
        other => panic!("{bytes}: {other:?}"),
    }
}

fn snapshot() -> Snapshot {
    let devices = vec!["d0".into(), "d1".into()];
    Snapshot { job_id: "j".into(), tag: "a \"tag\"\n".into(), vmstate: "d0".into(), devices }
}

fn table() -> Vec<(Command, &'static str)> {
    use Command::*;
    let switch = |capability, state| SwitchCapability { capability, state };
    let capabilities = vec![
        switch(MigrationCapability::Events, true),
        switch(MigrationCapability::MappedRam, false),
        switch(MigrationCapability::ValidateUuid, true),
    ];
    let saved = r#","arguments":{"job-id":"j","tag":"a \"tag\"\n","vmstate":"d0","devices":["d0","d1"]}"#;
    let leaked = |name: &str| &*Box::leak(format!(r#""{name}"{saved}"#).into_boxed_str());
    vec![
        (QueryStatus, r#""query-status""#),
        (QueryVersion, r#""query-version""#),
        (QueryName, r#""query-name""#),
        (QueryUuid, r#""query-uuid""#),
        (Stop, r#""stop""#),
        (Cont, r#""cont""#),
        (SystemReset, r#""system_reset""#),
        (SystemPowerdown, r#""system_powerdown""#),
        (SetAction { reboot: RebootAction::Reset }, r#""set-action","arguments":{"reboot":"reset"}"#),
        (SetAction { reboot: RebootAction::Shutdown }, r#""set-action","arguments":{"reboot":"shutdown"}"#),
        (Quit, r#""quit""#),
        (Migrate { uri: MigrationUri::unix("/s") }, r#""migrate","arguments":{"uri":"unix:/s"}"#),
        (
            MigrateIncoming { uri: MigrationUri::file("/m") },
            r#""migrate-incoming","arguments":{"uri":"file:/m"}"#,
        ),
        (QueryMigrate, r#""query-migrate""#),
        (MigrateCancel, r#""migrate_cancel""#),
        (
            MigrateSetCapabilities { capabilities },
            r#""migrate-set-capabilities","arguments":{"capabilities":[{"capability":"events","state":true},{"capability":"mapped-ram","state":false},{"capability":"validate-uuid","state":true}]}"#,
        ),
        (
            MigrateSetParameters { max_bandwidth: u64::MAX },
            r#""migrate-set-parameters","arguments":{"max-bandwidth":18446744073709551615}"#,
        ),
        (SnapshotSave(snapshot()), leaked("snapshot-save")),
        (SnapshotLoad(snapshot()), leaked("snapshot-load")),
        (
            SnapshotDelete { job_id: "j".into(), tag: "t".into(), devices: vec![] },
            r#""snapshot-delete","arguments":{"job-id":"j","tag":"t","devices":[]}"#,
        ),
        (QueryJobs, r#""query-jobs""#),
        (JobDismiss { id: "j".into() }, r#""job-dismiss","arguments":{"id":"j"}"#),
        (QueryChardev, r#""query-chardev""#),
        (QueryBlock, r#""query-block""#),
    ]
}

#[test]
fn each_command_is_one_line() {
    for (command, rest) in table() {
        let mut client = ready();
        client.send(&command).unwrap();
        let line = String::from_utf8(client.take_output()).unwrap();
        assert_eq!(line, format!("{{\"execute\":{rest},\"id\":1}}\n"));
        assert!(line.starts_with(&format!("{{\"execute\":\"{}\"", command.name())));
    }
}

#[test]
fn what_may_be_issued_again() {
    let once: Vec<_> = table()
        .iter()
        .filter(|(command, _)| !command.is_repeatable())
        .map(|(command, _)| command.name())
        .collect();
    assert_eq!(
        once,
        ["system_reset", "system_powerdown", "migrate", "snapshot-save", "snapshot-load", "snapshot-delete"]
    );
}

#[test]
fn a_path_is_one_word_of_the_shell() {
    assert_eq!(MigrationUri::to_file("/a b").as_str(), "exec:cat > '/a b'");
    assert_eq!(MigrationUri::from_file("/it's; rm *").as_str(), r"exec:cat < '/it'\''s; rm *'");
    for path in ["/plain", "/a b", "/it's; exit 9", "/$HOME `x` \"\\ \n|", "-"] {
        let uri = MigrationUri::to_file(path);
        let word = uri.as_str().strip_prefix("exec:cat > ").unwrap();
        let said = std::process::Command::new("/bin/sh")
            .args(["-c", &format!("printf %s {word}")])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(said.stdout).unwrap(), path);
    }
}

#[test]
fn a_command_that_is_too_long_is_not_sent() {
    let mut client = ready();
    let id = |len| Command::JobDismiss { id: "x".repeat(len) };
    let around = r#"{"execute":"job-dismiss","arguments":{"id":""},"id":1}"#.len() + 1;
    let len = COMMAND_LEN_MAX + 1;
    assert_eq!(client.send(&id(len - around)), Err(SendError::TooLong { len }));
    assert_eq!(client.take_output(), b"");
    assert_eq!(client.send(&id(COMMAND_LEN_MAX - around)).unwrap().to_string(), "0.1");
    assert_eq!(client.take_output().len(), COMMAND_LEN_MAX);
}

#[test]
fn words() {
    assert_eq!(RunState::KNOWN.len(), 16);
    assert_eq!(ShutdownCause::KNOWN.len(), 11);
    assert_eq!(MigrationStatus::KNOWN.len(), 15);
    assert_eq!((JobType::KNOWN.len(), JobStatus::KNOWN.len()), (9, 11));
    for state in RunState::KNOWN {
        assert_eq!(&RunState::from(state.as_str()), state);
        let mut client = ready();
        client.send(&Command::QueryStatus).unwrap();
        let heard =
            one(&mut client, &format!(r#"{{"return":{{"running":false,"status":"{state}"}},"id":1}}"#));
        let Heard::Answer { result: Ok(Answer::Status(status)), .. } = heard else { panic!("{heard:?}") };
        assert_eq!(&status.state, state);
    }
    for class in ErrorClass::KNOWN {
        assert_eq!(&ErrorClass::from(class.as_str()), class);
    }
    assert_eq!(RunState::from("so\u{1b}me"), RunState::Other("so\\u{1b}me".into()));
}

#[test]
fn each_event() {
    let known: [(&str, &str, Event); 14] = [
        (
            "SHUTDOWN",
            r#"{"guest":true,"reason":"guest-shutdown"}"#,
            Event::Shutdown(Cause { guest: true, reason: ShutdownCause::GuestShutdown }),
        ),
        (
            "RESET",
            r#"{"guest":true,"reason":"new"}"#,
            Event::Reset(Cause { guest: true, reason: ShutdownCause::Other("new".into()) }),
        ),
        ("STOP", "{}", Event::Stop),
        ("RESUME", "{}", Event::Resume),
        ("POWERDOWN", "{}", Event::Powerdown),
        ("SUSPEND", "{}", Event::Suspend),
        ("WAKEUP", "{}", Event::Wakeup),
        (
            "GUEST_PANICKED",
            r#"{"action":"pause","info":{"type":"s390"}}"#,
            Event::GuestPanicked { action: PanicAction::Pause },
        ),
        ("MIGRATION", r#"{"status":"device"}"#, Event::Migration { status: MigrationStatus::Device }),
        (
            "JOB_STATUS_CHANGE",
            r#"{"id":"j","status":"null"}"#,
            Event::JobStatusChange(JobStatusChange { id: "j".into(), status: JobStatus::Null }),
        ),
        (
            "BLOCK_IO_ERROR",
            r#"{"device":"ide0","node-name":"n","operation":"write","action":"stop","nospace":true,"reason":"No space left on device"}"#,
            Event::BlockIoError(BlockIoError {
                device: "ide0".into(),
                node_name: Some("n".into()),
                operation: IoOperation::Write,
                action: IoErrorAction::Stop,
                no_space: true,
                reason: "No space left on device".into(),
            }),
        ),
        ("WATCHDOG", r#"{"action":"inject-nmi"}"#, Event::Watchdog { action: WatchdogAction::InjectNmi }),
        (
            "VSERPORT_CHANGE",
            r#"{"id":"agent","open":true}"#,
            Event::VserportChange(PortChange { id: "agent".into(), open: true }),
        ),
        (
            "DEVICE_DELETED",
            r#"{"path":"/machine/p"}"#,
            Event::DeviceDeleted(DeviceDeleted { device: None, path: "/machine/p".into() }),
        ),
    ];
    for (name, data, event) in known {
        let mut client = ready();
        let time = r#""timestamp":{"seconds":-1,"microseconds":-1}"#;
        let heard = one(&mut client, &format!(r#"{{"event":"{name}","data":{data},{time}}}"#));
        assert_eq!(heard, Heard::Event { event, at: None });
        // One whose data are missing is not passed over.
        let bare = client.feed(format!(r#"{{"event":"{name}",{time}}}"#).as_bytes()).map(|_| ());
        assert_eq!(bare.is_ok(), data == "{}", "{name}: {bare:?}");
    }
    let heard = one(&mut ready(), r#"{"event":"NIC_RX\u001b","data":{"x":[1]}}"#);
    assert_eq!(heard, Heard::Event { event: Event::Other { name: "NIC_RX\\u{1b}".into() }, at: None });
}

#[test]
fn a_time_that_is_none_is_not_made_up() {
    for (time, at) in [
        (r#"{"seconds":1,"microseconds":999999}"#, Some(1_999_999)),
        (r#"{"seconds":1,"microseconds":1000000}"#, None),
        (r#"{"seconds":1,"microseconds":4294967295}"#, None),
        (r#"{"seconds":-1,"microseconds":1}"#, None),
        (r#"{"seconds":1,"microseconds":-1}"#, None),
        ("null", None),
    ] {
        let heard = one(&mut ready(), &format!(r#"{{"event":"STOP","timestamp":{time}}}"#));
        assert_eq!(heard, Heard::Event { event: Event::Stop, at: at.map(Duration::from_micros) }, "{time}");
    }
}

#[test]
fn a_drive_may_be_empty() {
    let mut client = ready();
    client.send(&Command::QueryBlock).unwrap();
    let heard = one(&mut client, r#"{"return":[{"device":"cd","removable":true}],"id":1}"#);
    let Heard::Answer { result: Ok(Answer::Blocks(blocks)), .. } = heard else { panic!("{heard:?}") };
    assert_eq!((blocks[0].device.as_str(), &blocks[0].inserted), ("cd", &None));
}

#[test]
fn an_answer_that_makes_no_sense_ends_its_command_alone() {
    let mut client = ready();
    client.send(&Command::QueryStatus).unwrap();
    client.send(&Command::Stop).unwrap();
    let heard = one(&mut client, r#"{"return":{"running":"\u001byes","status":"paused"},"id":1}"#);
    let Heard::Answer { result: Err(Failure::Unintelligible { why }), .. } = heard else {
        panic!("{heard:?}")
    };
    assert!(why.as_str().contains("expected a boolean") && !why.as_str().contains('\u{1b}'), "{why}");
    let heard = one(&mut client, r#"{"return":{},"id":2}"#);
    assert!(matches!(heard, Heard::Answer { command: "stop", result: Ok(Answer::Done), .. }));
}

#[test]
fn nothing_is_an_answer_too() {
    for value in ["null", "{}", "[]", "\"\"", "{\"new\":1}"] {
        let mut client = ready();
        client.send(&Command::Cont).unwrap();
        let heard = one(&mut client, &format!(r#"{{"return":{value},"id":1}}"#));
        assert!(matches!(heard, Heard::Answer { command: "cont", result: Ok(Answer::Done), .. }), "{value}");
    }
}

#[test]
fn classes_that_are_new_and_long_words_are_kept_within_bounds() {
    let mut client = ready();
    client.send(&Command::Stop).unwrap();
    let desc = "\\u001b".repeat(9000);
    let heard = one(&mut client, &format!(r#"{{"id":1,"error":{{"class":"NewError","desc":"{desc}"}}}}"#));
    let Heard::Answer { result: Err(Failure::Refused(refusal)), .. } = heard else { panic!("{heard:?}") };
    assert_eq!(refusal.class, ErrorClass::Other("NewError".into()));
    let desc = refusal.desc.as_str();
    assert!(
        desc.starts_with("\\u{1b}\\u{1b}") && desc.ends_with('…') && desc.len() <= 4096,
        "{}",
        desc.len()
    );
}
