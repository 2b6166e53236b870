//! The bytes of every record of every version. A test that fails here means that what is on people's disks would be
//! read wrongly: make a new version and a migration instead of mending the test.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use farmhand_records::v1::*;
use farmhand_records::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The record's bytes are these, and these bytes are the record.
fn golden<R: Record + PartialEq + std::fmt::Debug>(record: &R, expect: &str) {
    let bytes = record.encode();
    assert_eq!(hex(&bytes), expect.split_whitespace().collect::<String>());
    assert_eq!(&R::decode(1, &bytes).unwrap(), record);
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(matches!(R::decode(1, &longer), Err(DecodeRecordError::Corrupt { .. })), "a byte left over");
    assert!(matches!(R::decode(2, &bytes), Err(DecodeRecordError::TooNew { found: 2, supported: 1, .. })));
    for cut in 0..bytes.len() {
        assert!(R::decode(1, &bytes[..cut]).is_err(), "cut at {cut}");
    }
}

fn name(text: &str) -> DeviceName {
    DeviceName::new(text).unwrap()
}

fn job() -> Job {
    Job {
        title: "b".into(),
        project: "/p".into(),
        goal: Goal::Run,
        board: "x".into(),
        build: Build {
            source: Source::Sketch("/p".into()),
            toolchain: Toolchain::Managed,
            flags: vec!["-a".into()],
            cxx_flags: vec![],
            link_flags: vec![],
            jobs: 2,
        },
        device: DeviceSelect::Named(name("u")),
        once: true,
        expect: vec!["e".into()],
        expect_places: vec![Place { file: "f".into(), line: 5, column: 11 }],
        fail_on: vec![],
        timeout_ms: 300,
        on_gap: OnGap::Reset,
        baud: 9600,
        infra_retries: 1,
    }
}

fn problem() -> Problem {
    Problem {
        class: ProblemClass::Unknown,
        code: "F".into(),
        message: "m".into(),
        detail: vec!["d".into()],
        help: vec!["h".into()],
        place: Some(Place { file: "f".into(), line: 1, column: 2 }),
    }
}

fn session(phase: Phase) -> Session {
    Session {
        id: SessionId(7),
        job: job(),
        phase,
        attempt: Attempt(2),
        lease: Some(LeaseHeld { device: name("u"), token: FencingToken(3) }),
        artifact: Some(Artifact { hash: ContentHash([1; 32]), path: "/a".into(), image_bytes: 2900 }),
        plan: Some(PlanHash([2; 32])),
        handoff: HandoffKind::Once,
        epoch: Some(Epoch(9)),
        observed: Observed { offset: 300, matched: 1, elapsed_ms: 5 },
        cancel: true,
        infra_failures: 1,
        created_unix_ms: 1_000,
        finished_unix_ms: Some(2_000),
    }
}

/// What stands before a session's phase, and behind it.
const JOB: &str = "07 0162 022f70 02 0178 00 022f70 00 01022d61 00 00 02 010175 01 010165 01 0166 05 0b 00 ac02 01 804b 01 ";
const BEHIND: &str = concat!(
    " 02 01 0175 03 01 0101010101010101010101010101010101010101010101010101010101010101",
    " 022f61 d416 01 0202020202020202020202020202020202020202020202020202020202020202",
    " 00 01 09 ac02 01 05 01 01 e807 01 d00f"
);

#[test]
fn sessions() {
    let phases = [
        (Phase::Preparing, "00"),
        (Phase::Queued, "01"),
        (Phase::Leased, "02"),
        (Phase::Connecting, "03"),
        (Phase::Transferring, "04"),
        (Phase::HandoffIntended, "05"),
        (Phase::HandoffIssued(Evidence::NotStarted("n".into())), "06 00 016e"),
        (Phase::HandoffIssued(Evidence::PartialRedoable("p".into())), "06 01 0170"),
        (Phase::HandoffIssued(Evidence::Complete("c".into())), "06 02 0163"),
        (Phase::HandoffIssued(Evidence::Unknown("u".into())), "06 03 0175"),
        (Phase::Observing, "07"),
        (Phase::Finished(Verdict::Passed, None), "08 00 00"),
        (Phase::Finished(Verdict::Failed, None), "08 01 00"),
        (Phase::Finished(Verdict::Infra, None), "08 02 00"),
        (
            Phase::Finished(Verdict::Unknown, Some(problem())),
            "08 03 01 08 0146 016d 010164 010168 01 0166 01 02",
        ),
        (Phase::Finished(Verdict::Cancelled, None), "08 04 00"),
    ];
    for (phase, expect) in phases {
        golden(&session(phase), &format!("{JOB}{expect}{BEHIND}"));
    }
}

/// The one byte that an enum without fields is.
fn number<T: serde::Serialize>(value: T) -> u8 {
    let bytes = postcard::to_stdvec(&value).unwrap();
    assert_eq!(bytes.len(), 1);
    bytes[0]
}

#[test]
fn enums_only_grow_at_the_end() {
    use ProblemClass as C;
    let classes = [
        C::Firmware,
        C::Usage,
        C::Configuration,
        C::NoDevice,
        C::Permission,
        C::Busy,
        C::Build,
        C::Infra,
        C::Unknown,
        C::Package,
        C::Cancelled,
    ];
    for (place, class) in classes.into_iter().enumerate() {
        assert_eq!(usize::from(number(class)), place, "{class:?}");
    }
    assert_eq!([Goal::Build, Goal::Flash, Goal::Run].map(number), [0, 1, 2]);
    assert_eq!([Toolchain::Managed, Toolchain::System].map(number), [0, 1]);
    assert_eq!([Compilers::Managed, Compilers::System, Compilers::Clang].map(number), [0, 1, 2]);
    assert_eq!([CLibrary::Picolibc, CLibrary::Newlib].map(number), [0, 1]);
    assert_eq!(PackageKind::ALL.map(number), [0, 1, 2, 3, 4]);
    assert_eq!([OnGap::Unknown, OnGap::Reset].map(number), [0, 1]);
    assert_eq!([HandoffKind::Once, HandoffKind::Repeatable].map(number), [0, 1]);
    let first = |value: &dyn Fn() -> Vec<u8>| value()[0];
    let source = |source: Source| postcard::to_stdvec(&source).unwrap();
    assert_eq!(first(&|| source(Source::Sketch("s".into()))), 0);
    assert_eq!(first(&|| source(Source::Tree("s".into()))), 1);
    assert_eq!(first(&|| source(Source::Artifact("s".into()))), 2);
    assert_eq!(first(&|| source(Source::Command("s".into(), "c".into(), "a".into()))), 3);
    let of = Source::CommandOf("s".into(), "c".into(), "a".into(), vec!["i".into()]);
    assert_eq!(source(of), [4, 1, b's', 1, b'c', 1, b'a', 1, 1, b'i']);
    let boot =
        BootSource { image: "i".into(), ramdisk: Some("r".into()), dtb: None, cmdline: Some("c".into()) };
    assert_eq!(source(Source::Boot(boot)), [5, 1, b'i', 1, 1, b'r', 0, 1, 1, b'c']);
    let steps = vec![PartitionStep::Flash("p".into(), "f".into()), PartitionStep::Erase("e".into())];
    let guest = Source::Guest(GuestSource { program: "s".into(), start: GuestStart::Healthy });
    assert_eq!(first(&|| source(guest.clone())), 7);
    let of = Source::Partitions(steps, Leave::Reboot);
    assert_eq!(source(of), [6, 2, 0, 1, b'p', 1, b'f', 1, 1, b'e', 1]);
    let of = EnvironmentSource {
        folder: "f".into(),
        name: "n".into(),
        sources: "s".into(),
        include: "i".into(),
        filter: "+".into(),
        arduino: true,
        unlisted: false,
        board: vec![("k".into(), "v".into())],
        flags: vec!["a".into()],
        own_flags: vec!["o".into()],
        unflags: vec!["u".into()],
        libraries: LibraryWish {
            mode: LibraryMode::DeepPlus,
            folders: vec!["l".into()],
            ignore: vec!["g".into()],
            needed: vec!["d".into()],
        },
    };
    let expect = [
        &[8, 1, b'f', 1, b'n', 1, b's', 1, b'i', 1, b'+', 1, 0, 1, 1, b'k', 1, b'v'][..],
        &[1, 1, b'a', 1, 1, b'o', 1, 1, b'u', 4, 1, 1, b'l', 1, 1, b'g', 1, 1, b'd'],
    ];
    assert_eq!(source(Source::Environment(Box::new(of))), expect.concat());
    let of = ProfileSource {
        folder: "f".into(),
        name: "n".into(),
        cores: vec![("c".into(), Some("1".into())), ("d".into(), None)],
        libraries: vec![
            ProfileLibrary::Named("l".into(), None),
            ProfileLibrary::Named("m".into(), Some("2".into())),
            ProfileLibrary::Folder("o".into()),
        ],
    };
    let expect = [
        &[9, 1, b'f', 1, b'n', 2, 1, b'c', 1, 1, b'1', 1, b'd', 0, 3][..],
        &[0, 1, b'l', 0, 0, 1, b'm', 1, 1, b'2', 1, 1, b'o'],
    ];
    assert_eq!(source(Source::Profile(Box::new(of))), expect.concat());
    let leave = [Leave::Stay, Leave::Reboot, Leave::Continue, Leave::RebootBootloader];
    assert_eq!(leave.map(number), [0, 1, 2, 3]);
    let select = |select: DeviceSelect| postcard::to_stdvec(&select).unwrap();
    assert_eq!(first(&|| select(DeviceSelect::Board)), 0);
    assert_eq!(first(&|| select(DeviceSelect::Named(name("u")))), 1);
    assert_eq!(first(&|| select(DeviceSelect::Port("p".into()))), 2);
    assert_eq!(Kind::ALL.map(Kind::number), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn chosen_tools() {
    let origin = |origin: PackageOrigin| postcard::to_stdvec(&origin).unwrap();
    let (p, v) = (|| "p".to_owned(), || "v".to_owned());
    assert_eq!(origin(PackageOrigin::Debian { package: p() }), [0, 1, b'p']);
    assert_eq!(origin(PackageOrigin::Url { urls: vec![p()], sha256: None }), [1, 1, 1, b'p', 0]);
    assert_eq!(origin(PackageOrigin::Path { path: p(), sha256: None }), [2, 1, b'p', 0]);
    assert_eq!(origin(PackageOrigin::Git { url: p(), commit: v() }), [3, 1, b'p', 1, b'v']);
    let pip = PackageOrigin::Pip { project: p(), version: v(), sha256: None };
    assert_eq!(origin(pip), [4, 1, b'p', 1, b'v', 0]);
    let npm = PackageOrigin::Npm { project: p(), version: v(), sha256: None };
    assert_eq!(origin(npm), [5, 1, b'p', 1, b'v', 0]);
    let reference = PackageOrigin::GitReference { url: p(), reference: Some(v()) };
    assert_eq!(origin(reference), [6, 1, b'p', 1, 1, b'v']);
    let spec = PackageSpec {
        name: "n".into(),
        version: Some(v()),
        kind: PackageKind::Library,
        origin: PackageOrigin::Path { path: p(), sha256: Some([3; 32]) },
        strip: true,
        offers: ["o".into()].into(),
        environment: [("k".into(), "e".into())].into(),
        needed_as: Some("d".into()),
        locked: Some([4; 32]),
    };
    let tools =
        ChosenTools { compilers: Compilers::Clang, c_library: CLibrary::Newlib, packages: vec![spec] };
    let expect = [
        &[2, 2, 1, 1, 1, b'n', 1, 1, b'v', 2, 2, 1, b'p', 1][..],
        &[3; 32],
        &[1, 1, 1, b'o', 1, 1, b'k', 1, b'e', 1, 1, b'd', 1],
        &[4; 32],
    ];
    assert_eq!(postcard::to_stdvec(&Toolchain::Chosen(Box::new(tools.clone()))).unwrap(), expect.concat());
    assert_eq!(
        postcard::from_bytes::<Toolchain>(&expect.concat()).unwrap(),
        Toolchain::Chosen(Box::new(tools))
    );
}

#[test]
fn devices() {
    let empty = Device {
        name: name("u"),
        identity: None,
        epoch: Epoch(0),
        token: FencingToken(0),
        holding: None,
        handoff: None,
        stay: None,
    };
    golden(&empty, "0175 00 00 00 00 00 00");
    let full = Device {
        identity: Some(Identity { signature: vec![0x1e, 0x95, 0x0f], loader: "o".into() }),
        epoch: Epoch(300),
        token: FencingToken(4),
        holding: Some(Holding { image: ContentHash([1; 32]), since: SessionId(5) }),
        handoff: Some(HandoffDone {
            session: SessionId(6),
            attempt: Attempt(1),
            plan: PlanHash([2; 32]),
            epoch: Epoch(300),
            starts: Some(8),
        }),
        stay: Some(LoaderStay {
            session: SessionId(6),
            attempt: Attempt(1),
            plan: PlanHash([2; 32]),
            starts: Some(7),
            handoffs: None,
        }),
        ..empty
    };
    golden(
        &full,
        concat!(
            "0175 01 031e950f 016f ac02 04 01 0101010101010101010101010101010101010101010101010101010101010101",
            " 05 01 06 01 0202020202020202020202020202020202020202020202020202020202020202",
            " ac02 01 08 01 06 01 0202020202020202020202020202020202020202020202020202020202020202",
            " 01 07 00"
        ),
    );
}

#[test]
fn schedules() {
    golden(&Schedule::default(), "000000");
    let schedule = Schedule {
        leases: vec![Lease {
            device: name("u"),
            session: SessionId(1),
            token: FencingToken(2),
            revoked: true,
        }],
        queue: vec![Waiting { session: SessionId(3), board: "b".into(), select: DeviceSelect::Board }],
        tokens: vec![TokenOf {
            device: name("u"),
            token: FencingToken(2),
            quarantine: Some(Quarantine { why: "w".into(), session: Some(SessionId(1)), since_unix_ms: 300 }),
        }],
    };
    golden(&schedule, "01 0175 01 02 01  01 03 0162 00  01 0175 02 01 0177 01 01 ac02");
}

#[test]
fn the_rest() {
    let serial = Serial { device: name("u"), segment: 1, offset: 300, epoch: Epoch(2) };
    golden(&serial, "0175 01 ac02 02");
    let farm = Farm { incarnation: Incarnation(300), last_session: SessionId(7), boot_id: "b".into() };
    golden(&farm, "ac02 07 0162");
    golden(&Key { key: "k".into(), session: SessionId(7) }, "016b 07");
    let progress = FlashProgress {
        device: name("u"),
        session: SessionId(7),
        attempt: Attempt(1),
        plan: PlanHash([2; 32]),
        begun: 3,
        done: 2,
        at: Identity { signature: b"s".to_vec(), loader: "l".into() },
    };
    golden(
        &progress,
        "0175 07 01 0202020202020202020202020202020202020202020202020202020202020202 03 02 0173 016c",
    );
    let claim = Claim {
        device: name("u"),
        board: "b".into(),
        serial: Some("s".into()),
        port_path: None,
        tcp: Some("t".into()),
        udp: None,
    };
    golden(&claim, "0175 0162 010173 00 010174 00");
    let probe = |getvar: &str, wanted| Probe { getvar: getvar.into(), wanted };
    let model = Model {
        id: "m".into(),
        usb: vec!["u".into()],
        serial: Some("s".into()),
        port_path: None,
        probes: vec![
            probe("a", Wanted::Equals("e".into())),
            probe("b", Wanted::StartsWith("s".into())),
            probe("c", Wanted::NotEquals("n".into())),
            probe("d", Wanted::Exists),
            probe("e", Wanted::NotExists),
        ],
        next: vec!["n".into()],
        banner: Some("b".into()),
    };
    let bytes = "07 01 016d 010175 010173 00 05 0161000165 0162010173 016302016e 016403 016504 01016e 010162";
    golden(&ModelOf { session: SessionId(7), model: Some(model) }, bytes);
    golden(&ModelOf { session: SessionId(7), model: None }, "07 00");
}

#[test]
fn keys_sort_as_ids_do() {
    let mut keys: Vec<_> = [300_u64, 2, 1]
        .into_iter()
        .map(|id| Session { id: SessionId(id), ..session(Phase::Queued) }.key())
        .collect();
    keys.sort();
    assert_eq!(keys[0], 1_u64.to_be_bytes());
    assert_eq!(keys[2], 300_u64.to_be_bytes());
}
