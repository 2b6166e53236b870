//! A third party agrees: Debian's avrdude, and farmhand, on the same virtual board.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::fs;
use std::path::Path;

use farmhand_tests::{BareUno, BoardControl, Desk, Said, alpha, avrdude_uploads, beta, compile, hex, until};
use rustix::fs::{Mode, OFlags};
use rustix::termios::{ControlModes, OptionalActions, tcgetattr, tcsetattr};

/// Optiboot's section on an ATmega328P with the Uno's fuses: the last 512 bytes (boards.txt, `upload.maximum_size`).
const BOOT: usize = 32_768 - 512;
/// Bytes of a page (data sheet, table 27-9).
const PAGE: usize = 128;

fn dump(board: &BoardControl, to: &Path) -> Vec<u8> {
    board.dump(to);
    let flash = fs::read(to).unwrap();
    assert_eq!(flash.len(), 32_768);
    flash
}

/// An image of 200 pages and one of 7, by avrdude and by farmhand, each on a board of its own that was never written
/// before: the same flash to the byte, and the loader as it was.
#[tokio::test(flavor = "multi_thread")]
async fn both_leave_the_same_flash() {
    let desk = Desk::ready();
    let large = compile(&desk, "chatter.c", "large", &["WORD=\"large\"", "PAGES=200"]).await;
    let small = alpha().path.clone();
    fs::copy(&small, desk.work().join("small.elf")).unwrap();
    let small = desk.work().join("small.elf");
    for (name, elf) in [("large", large), ("small", small)] {
        let hex = hex(&desk, &elf).await;
        let theirs = BareUno::start(&desk, &desk.work().join(format!("{name}-theirs")), None).await;
        let ours = BareUno::start(&desk, &desk.work().join(format!("{name}-ours")), None).await;
        let (theirs_dump, ours_dump) = (desk.work().join("theirs.bin"), desk.work().join("ours.bin"));
        let fresh = dump(&theirs.control(), &theirs_dump);
        assert_eq!(fresh, dump(&ours.control(), &ours_dump));
        assert!(fresh[BOOT..].iter().any(|byte| *byte != 0xff), "there is a loader");

        assert_eq!(desk.farm_pid().await, None, "no farm runs");
        let said = avrdude_uploads(&desk, &theirs.line(), &hex).await;
        said.expect(0).mentions(&["bytes of flash verified"]);
        let by_them = dump(&theirs.control(), &theirs_dump);

        desk.home().configure(&ours.entry("uno-1"));
        let flash = ["flash", hex.to_str().unwrap(), "--board", "arduino:avr:uno", "--device", "uno-1"];
        desk.run(flash).await.expect(0);
        let by_us = dump(&ours.control(), &ours_dump);
        desk.stop().await;

        assert_ne!(by_us[..BOOT], fresh[..BOOT], "{name}: it was written");
        let first = by_us.iter().zip(&by_them).position(|(ours, theirs)| ours != theirs);
        assert_eq!(first, None, "{name}: the first byte that differs");
        assert_eq!(by_us[BOOT..], fresh[BOOT..], "{name}: the loader is as it was");
        // Both wrote the same pages, once each, and left the loader once.
        let (ours_did, theirs_did) = (ours.control().counters(), theirs.control().counters());
        assert_eq!(
            (ours_did.page_writes, ours_did.leaves),
            (theirs_did.page_writes, theirs_did.leaves),
            "{name}"
        );
        let pages = by_us[..BOOT].chunks(PAGE).filter(|page| page.iter().any(|byte| *byte != 0xff)).count();
        assert_eq!(ours_did.page_writes, pages as u64, "{name}");
    }
}

/// What avrdude writes behind farmhand's back is found by the next read-back: what farmhand remembers of a device is
/// never taken for what is on it.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_written_behind_our_back_is_noticed() {
    let desk = Desk::ready();
    let board = desk.home().board("uno-sim");
    let copy = |image: &Path, name: &str| {
        let to = desk.work().join(name);
        fs::copy(image, &to).unwrap();
        to
    };
    let ours = copy(&alpha().path, "alpha.elf");
    let theirs = hex(&desk, &copy(&beta().path, "beta.elf")).await;
    let run = [
        "run",
        ours.to_str().unwrap(),
        "--board",
        "arduino:avr:uno",
        "--expect",
        "^alpha 3$",
        "--message-format",
        "json",
    ];

    desk.run(run).await.expect(0);
    let by_us = dump(&board, &desk.work().join("first.bin"));
    let written = board.counters().page_writes;
    assert!(written > 0);
    // Again: nothing is to be written, which is found by reading it.
    let again = desk.run(run).await;
    again.expect(0);
    let flashed = |said: &Said| {
        let lines = said.json_lines();
        let done: Vec<_> = lines.iter().filter(|line| line["event"] == "flash.done").cloned().collect();
        assert_eq!(done.len(), 1, "{lines:?}");
        done[0]["written_bytes"].as_u64().unwrap()
    };
    assert_eq!(flashed(&again), 0);
    assert_eq!(board.counters().page_writes, written);

    desk.stop().await;
    // As pressing its button: nobody has the port, and the loader listens for a second.
    avrdude_resets_and_uploads(&desk, &board, &theirs).await;
    let by_them = dump(&board, &desk.work().join("second.bin"));
    assert_ne!(by_them, by_us);
    let written = board.counters().page_writes;

    let noticed = desk.run(run).await;
    noticed.expect(0);
    assert!(flashed(&noticed) > 0, "it was written again");
    assert!(board.counters().page_writes > written);
    assert_eq!(dump(&board, &desk.work().join("third.bin")), by_us);
}

/// farmhand has cleared HUPCL, so that opening the port resets nothing: set again, as `stty hupcl` does it.
async fn avrdude_resets_and_uploads(desk: &Desk, board: &BoardControl, hex: &Path) {
    let line = desk.paths().board(&"uno-sim".parse().unwrap()).join("tty");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&line, flags, Mode::empty()).unwrap();
    let mut settings = tcgetattr(&opened).unwrap();
    settings.control_modes |= ControlModes::HUPCL;
    tcsetattr(&opened, OptionalActions::Now, &settings).unwrap();
    drop(opened);
    until("the board has seen that its line is closed", async || {
        let state = board.ask("state").unwrap();
        (state.contains("client=0") && state.contains("dtr=1")).then_some(())
    })
    .await;
    avrdude_uploads(desk, &line, hex).await.expect(0).mentions(&["bytes of flash verified"]);
}
