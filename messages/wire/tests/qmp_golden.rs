//! What QEMU 7.2.22 said, byte for byte, and what we say to it. The transcripts are in `qmp/`, each with its command line:
//! `S: ` is a line of QEMU, which ended in CRLF, `C: ` one of ours, `EOF` the end.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use farmhand_wire::qmp::{
    Answer, Cause, Client, Command, ErrorClass, Event, Failure, Fed, Heard, JobStatus, JobType,
    MigrationCapability, MigrationStatus, MigrationUri, RunState, ShutdownCause, Snapshot, SwitchCapability,
};

/// Plays a transcript: QEMU's lines are fed, and `commands` are sent where ours stand, which they must equal.
fn play(transcript: &str, connection: u32, commands: &[Command]) -> (Client, Vec<Heard>) {
    let mut client = Client::new(connection);
    let mut commands = commands.iter();
    let mut all = Vec::new();
    let mut negotiated = false;
    for line in transcript.lines().filter(|line| !line.starts_with('#')) {
        if let Some(ours) = line.strip_prefix("C: ") {
            if negotiated {
                client.send(commands.next().expect("a command for each line")).unwrap();
            }
            negotiated = true;
            assert_eq!(String::from_utf8(client.take_output()).unwrap(), format!("{ours}\n"));
        } else if let Some(theirs) = line.strip_prefix("S: ") {
            hear(&mut client, format!("{theirs}\r\n").as_bytes(), &mut all);
        } else {
            assert_eq!(line, "EOF");
        }
    }
    assert_eq!(commands.next(), None);
    assert!(client.is_between_messages() && client.is_ready());
    assert_eq!(client.unanswered().count(), 0);
    (client, all)
}

fn hear(client: &mut Client, mut bytes: &[u8], all: &mut Vec<Heard>) {
    while let Fed::Heard { heard, unused } = client.feed(bytes).unwrap() {
        all.push(heard);
        bytes = unused;
    }
}

/// Short, for a table: an answer as what it answers, an event as it is.
fn told(all: &[Heard]) -> Vec<String> {
    let short = |heard: &Heard| match heard {
        Heard::Greeting(greeting) => {
            let version = &greeting.version;
            format!("greeting of {}.{}.{}", version.major, version.minor, version.micro)
        }
        Heard::Ready => "ready".into(),
        Heard::Answer { id, command, result: Ok(Answer::Done) } => format!("{id} {command}"),
        Heard::Answer { id, command, result: Ok(Answer::Status(status)) } => {
            format!("{id} {command}: {}, {}", status.state, if status.running { "runs" } else { "halted" })
        }
        Heard::Answer { id, command, result: Ok(answer) } => format!("{id} {command}: {answer:?}"),
        Heard::Answer { id, command, result: Err(failure) } => format!("{id} {command}: {failure}"),
        Heard::Event { event: Event::Migration { status }, .. } => format!("migration {status}"),
        Heard::Event { event: Event::JobStatusChange(change), .. } => {
            format!("job {} {}", change.id, change.status)
        }
        Heard::Event { event: Event::Other { name }, .. } => format!("other {name}"),
        Heard::Event { event, .. } => format!("{event:?}"),
    };
    all.iter().map(short).collect()
}

const GREETED: [&str; 2] = ["greeting of 7.2.22", "ready"];

fn check(transcript: &str, commands: &[Command], expected: &[&str]) -> Vec<Heard> {
    let (client, all) = play(transcript, 1, commands);
    assert_eq!(told(&all), [&GREETED, expected].concat());
    assert_eq!((client.ignored().given_up, client.ignored().predecessors), (0, 0));
    all
}

fn answers<'a>(all: &'a [Heard]) -> Vec<&'a Result<Answer, Failure>> {
    let answer =
        |heard: &'a Heard| if let Heard::Answer { result, .. } = heard { Some(result) } else { None };
    all.iter().filter_map(answer).collect()
}

#[test]
fn what_can_be_asked() {
    use Command::*;
    let commands =
        [QueryStatus, QueryVersion, QueryName, QueryUuid, QueryMigrate, QueryJobs, QueryChardev, QueryBlock];
    let (_, all) = play(include_str!("qmp/queries.txt"), 1, &commands);
    let Heard::Greeting(greeting) = &all[0] else { panic!("{:?}", all[0]) };
    assert_eq!(greeting.version.package, "Debian 1:7.2+dfsg-7+deb12u18+b3");
    assert_eq!(greeting.capabilities, ["oob"]);
    let answers = answers(&all);
    let [status, version, name, uuid, migration, jobs, chardevs, blocks] = answers[..] else { panic!() };
    assert!(matches!(status, Ok(Answer::Status(s)) if s.state == RunState::Prelaunch && !s.running));
    assert_eq!(version, &Ok(Answer::Version(greeting.version.clone())));
    assert_eq!(name, &Ok(Answer::Name(Some("desk".into()))));
    assert_eq!(uuid, &Ok(Answer::Uuid("00112233-4455-6677-8899-aabbccddeeff".into())));
    assert!(
        matches!(migration, Ok(Answer::Migration(m)) if m.status.is_none() && m.ram.is_none() && m.error_desc.is_none())
    );
    assert_eq!((jobs, blocks), (&Ok(Answer::Jobs(vec![])), &Ok(Answer::Blocks(vec![]))));
    let Ok(Answer::Chardevs(chardevs)) = chardevs else { panic!("{chardevs:?}") };
    let labels: Vec<_> =
        chardevs.iter().map(|chardev| (chardev.label.as_str(), chardev.frontend_open)).collect();
    assert_eq!(labels, [("con0", true), ("mon", true)]);
    assert_eq!(chardevs[0].filename, "null");
}

#[test]
fn a_machine_without_a_name() {
    use Command::*;
    let (_, all) = play(include_str!("qmp/nameless.txt"), 1, &[QueryName, QueryUuid, QueryBlock]);
    assert_eq!(answers(&all)[0], &Ok(Answer::Name(None)));
    assert_eq!(answers(&all)[1], &Ok(Answer::Uuid("00000000-0000-0000-0000-000000000000".into())));
}

#[test]
fn a_run_from_pause_to_quit() {
    use Command::*;
    let commands = [Cont, QueryStatus, SystemReset, Stop, QueryStatus, Stop, SystemPowerdown, Quit];
    let expected = [
        "Resume",
        "1.1 cont",
        "1.2 query-status: running, runs",
        "Reset(Cause { guest: false, reason: HostQmpSystemReset })",
        "1.3 system_reset",
        "Stop",
        "1.4 stop",
        "1.5 query-status: paused, halted",
        "1.6 stop",
        "Powerdown",
        "1.7 system_powerdown",
        "Shutdown(Cause { guest: false, reason: HostQmpQuit })",
        "1.8 quit",
    ];
    let all = check(include_str!("qmp/run.txt"), &commands, &expected);
    let Heard::Event { event, at } = &all[2] else { panic!("{:?}", all[2]) };
    assert_eq!((event, at.unwrap().as_micros()), (&Event::Resume, 1_795_276_486_415_711));
    let shutdown = Event::Shutdown(Cause { guest: false, reason: ShutdownCause::HostQmpQuit });
    assert!(all.iter().any(|heard| matches!(heard, Heard::Event { event, .. } if *event == shutdown)));
}

#[test]
fn many_lines_are_the_same_messages() {
    use Command::*;
    let expected = ["1.1 query-status: prelaunch, halted", "1.2 stop", "Resume", "1.3 cont"];
    check(include_str!("qmp/pretty.txt"), &[QueryStatus, Stop, Cont], &expected);
}

fn events_on() -> Command {
    let events = SwitchCapability { capability: MigrationCapability::Events, state: true };
    Command::MigrateSetCapabilities { capabilities: vec![events] }
}

fn migrate(command: &str) -> Command {
    Command::Migrate { uri: MigrationUri::exec(command) }
}

#[test]
fn migrations() {
    use Command::*;
    let commands = [
        events_on(),
        MigrateSetParameters { max_bandwidth: 1 << 30 },
        Stop,
        Migrate { uri: MigrationUri::to_file("/tmp/memory") },
        QueryMigrate,
        QueryStatus,
        Cont,
        QueryStatus,
        migrate("exit 3"),
        QueryMigrate,
        QueryStatus,
        Migrate { uri: MigrationUri::new("nonsense") },
        MigrateCancel,
        Cont,
        MigrateSetParameters { max_bandwidth: 4096 },
        migrate("cat > /dev/null"),
        migrate("cat > /dev/null"),
        MigrateCancel,
        QueryMigrate,
    ];
    let (_, all) = play(include_str!("qmp/migrate.txt"), 1, &commands);
    let migrations: Vec<_> = answers(&all)
        .into_iter()
        .filter_map(|r| if let Ok(Answer::Migration(m)) = r { Some(m) } else { None })
        .collect();
    let [completed, failed, cancelled] = migrations[..] else { panic!("{migrations:?}") };
    assert_eq!(completed.status, Some(MigrationStatus::Completed));
    let ram = completed.ram.unwrap();
    assert_eq!((ram.transferred, ram.remaining, ram.total), (196_815, 0, 83_947_520));
    assert_eq!(failed.status, Some(MigrationStatus::Failed));
    assert_eq!(failed.error_desc, Some("Unable to write to command: Broken pipe".into()));
    assert_eq!(cancelled.status, Some(MigrationStatus::Cancelled));
    let told = told(&all);
    let from = |word: &str| {
        told.iter().filter(|line| line.starts_with(word)).map(String::as_str).collect::<Vec<_>>()
    };
    assert_eq!(
        from("1.6 ").concat() + from("1.8 ")[0] + from("1.11 ")[0],
        "1.6 query-status: postmigrate, halted1.8 query-status: running, runs1.11 query-status: running, runs"
    );
    let expected = [
        "setup",
        "active",
        "completed",
        "setup",
        "active",
        "failed",
        "setup",
        "failed",
        "setup",
        "active",
        "cancelling",
        "cancelled",
    ];
    assert_eq!(from("migration "), expected.map(|status| format!("migration {status}")));
    assert_eq!(
        from("1.12 "),
        ["1.12 migrate: QEMU refuses: Parameter 'uri' expects a valid migration protocol (GenericError)"]
    );
    assert_eq!(
        from("1.17 "),
        ["1.17 migrate: QEMU refuses: There's a migration process in progress (GenericError)"]
    );
}

#[test]
fn an_incoming_migration_is_paused_whatever_was_said_before() {
    use Command::*;
    let uri = || MigrationUri::from_file("/tmp/memory");
    let commands = [
        QueryStatus,
        events_on(),
        Cont,
        MigrateIncoming { uri: uri() },
        QueryStatus,
        MigrateIncoming { uri: uri() },
        Cont,
        QueryStatus,
    ];
    let expected = [
        "1.1 query-status: inmigrate, halted",
        "1.2 migrate-set-capabilities",
        "1.3 cont",
        "migration setup",
        "1.4 migrate-incoming",
        "migration active",
        "migration completed",
        "1.5 query-status: paused, halted",
        "1.6 migrate-incoming: QEMU refuses: The incoming migration has already been started (GenericError)",
        "Resume",
        "1.7 cont",
        "1.8 query-status: running, runs",
    ];
    check(include_str!("qmp/incoming.txt"), &commands, &expected);
}

#[test]
fn a_full_disk() {
    use Command::*;
    let commands =
        [events_on(), Migrate { uri: MigrationUri::to_file("/dev/full") }, QueryMigrate, QueryStatus];
    let (_, all) = play(include_str!("qmp/full.txt"), 1, &commands);
    assert!(told(&all).contains(&"migration failed".to_owned()));
    assert!(
        matches!(answers(&all)[2], Ok(Answer::Migration(m)) if m.status == Some(MigrationStatus::Failed))
    );
}

#[test]
fn snapshots_within_a_disk() {
    use Command::*;
    let snapshot = |job: &str| Snapshot {
        job_id: job.into(),
        tag: "ready".into(),
        vmstate: "disk0".into(),
        devices: vec!["disk0".into()],
    };
    let dismiss = |job: &str| JobDismiss { id: job.into() };
    let commands = [
        QueryBlock,
        SnapshotSave(snapshot("save0")),
        QueryJobs,
        dismiss("save0"),
        SnapshotSave(snapshot("save1")),
        QueryJobs,
        dismiss("save1"),
        SnapshotLoad(snapshot("load0")),
        QueryStatus,
        dismiss("load0"),
        SnapshotDelete { job_id: "delete0".into(), tag: "ready".into(), devices: vec!["disk0".into()] },
        QueryJobs,
        dismiss("delete0"),
        dismiss("gone"),
    ];
    let (_, all) = play(include_str!("qmp/snapshot.txt"), 1, &commands);
    let answers = answers(&all);
    let Ok(Answer::Blocks(blocks)) = answers[0] else { panic!("{:?}", answers[0]) };
    let inserted = blocks[0].inserted.as_ref().unwrap();
    assert_eq!(blocks[0].device, "d0");
    assert_eq!(
        (inserted.node_name.as_ref().unwrap().as_str(), inserted.file.as_str()),
        ("disk0", "/tmp/disk.qcow2")
    );
    let jobs = |at: usize| if let Ok(Answer::Jobs(jobs)) = answers[at] { &jobs[..] } else { panic!() };
    assert_eq!(
        (&jobs(2)[0].kind, &jobs(2)[0].status, &jobs(2)[0].error),
        (&JobType::SnapshotSave, &JobStatus::Concluded, &None)
    );
    assert_eq!((jobs(2)[0].current_progress, jobs(2)[0].total_progress), (1, 1));
    assert_eq!(jobs(5)[0].error, Some("Snapshot 'ready' already exists in one or more devices".into()));
    assert_eq!(jobs(11)[0].kind, JobType::SnapshotDelete);
    let Err(Failure::Refused(refusal)) = answers[13] else { panic!("{:?}", answers[13]) };
    assert_eq!((&refusal.class, refusal.desc.as_str()), (&ErrorClass::GenericError, "Job not found"));
    let saved: Vec<_> =
        told(&all).into_iter().skip_while(|line| line != "job save0 created").take(8).collect();
    assert_eq!(
        saved,
        [
            "job save0 created",
            "job save0 running",
            "Stop",
            "Resume",
            "1.2 snapshot-save",
            "job save0 waiting",
            "job save0 pending",
            "job save0 concluded",
        ]
    );
}

/// The answer bears the id of the first command of connection 1. Seen red with `id.connection >= self.connection` taken
/// out of the client: then what came for the predecessor ends the successor.
#[test]
fn an_answer_to_a_client_that_went_is_not_ours() {
    let (client, all) = play(include_str!("qmp/successor.txt"), 2, &[Command::QueryStatus]);
    assert_eq!(told(&all), ["greeting of 7.2.22", "ready", "2.1 query-status: running, runs"]);
    assert_eq!(client.ignored().predecessors, 1);
}
