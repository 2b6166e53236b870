//! An upload by farmhand against avrdude, on one virtual Uno: reset, write all, read all back, leave the loader.
//!
//! What the bytes themselves take on the wire is the same for everybody and nobody's merit: what is compared is the time
//! over it.

mod farm;
mod ours;
mod peer;
mod port;
mod relay;

use std::path::Path;
use std::time::{Duration, Instant};

use farmhand_device::virtual_uno::Board;
use farmhand_image::Image;
use farmhand_records::DeviceName;

use crate::Failure;
use crate::daemon::Daemon;
use crate::report::{Goal, Report, Row};
use crate::set_up::{SetUp, Tool};
use crate::stats::{Series, ratios};
use ours::Console;

/// Uploads of each size, by each, in turn.
const ROUNDS: usize = 7;
/// Bytes; the larger is all that optiboot leaves of 32 KiB but one page.
const SIZES: [usize; 2] = [3 * 1024, 32_128];
/// The rate of the wire, in bits a second.
const BAUD: u32 = 115_200;
/// Start bit, eight bits, stop bit.
const BITS_PER_BYTE: f64 = 10.0;
/// What an ATmega328P at 16 MHz makes of 115200 (data sheet, "Examples of Baud Rate Setting": UBRR 16, U2X).
const BAUD_OF_BOARD: f64 = 16_000_000.0 / (8.0 * 17.0);

/// What an uploader says and hears, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) to_board: u64,
    pub(crate) from_board: u64,
}

impl Said {
    fn bits(self) -> f64 {
        // One speaks at a time: the protocol is question and answer.
        (self.to_board + self.from_board) as f64 * BITS_PER_BYTE
    }
}

/// One virtual Uno, and the two that upload to it.
struct Bench {
    board: Board,
    console: Console,
    avrdude: Tool,
    farm: Daemon,
}

/// What was measured of one size.
struct Times {
    peers: Vec<Duration>,
    ours: Vec<Duration>,
    whole: Vec<Duration>,
}

pub(crate) async fn run(set_up: &SetUp) -> Result<Vec<Report>, Failure> {
    let avrdude = set_up.peer("avrdude").await?;
    // A socket's address is short.
    let folder = tempfile::tempdir()?;
    let name = DeviceName::new("uno")?;
    let board_folder = folder.path().join("board");
    let board = set_up.board(&board_folder, &name).await?;
    let console = Console::start(folder.path(), name).await?;
    let farm = Daemon::start(set_up).await?;
    let mut bench = Bench { board, console, avrdude, farm };
    let mut reports = Vec::new();
    for bytes in SIZES {
        reports.push(bench.measure(folder.path(), bytes).await?);
    }
    bench.console.end().await;
    bench.farm.end().await?;
    port::quit(&board_folder).await?;
    Ok(reports)
}

impl Bench {
    async fn measure(&mut self, folder: &Path, bytes: usize) -> Result<Report, Failure> {
        let programs = [program(bytes, 1)?, program(bytes, 2)?];
        let files = [folder.join("1.hex"), folder.join("2.hex")];
        for (program, file) in programs.iter().zip(&files) {
            std::fs::write(file, program.to_hex())?;
        }
        let line = self.board.line();
        // What is said is counted in uploads that do not count.
        let (relay, path) = relay::Relay::start(&line)?;
        self.console.upload(&self.board, &path, &programs[0]).await?;
        let ours_said = relay.end()?;
        self.holds(folder, &programs[0]).await?;
        port::arm_reset(&line)?;
        let (relay, path) = relay::Relay::start(&line)?;
        peer::upload(&self.avrdude, &path, &files[1])?;
        let peers_said = relay.end()?;
        self.holds(folder, &programs[1]).await?;

        // The farm's own board is built, started and opened by the first.
        farm::flash(&self.farm, &files[1])?;
        let mut times = Times { peers: vec![], ours: vec![], whole: vec![] };
        for round in 0..ROUNDS {
            let which = round % 2;
            times.whole.push(farm::flash(&self.farm, &files[which])?);
            times.ours.push(self.console.upload(&self.board, &line, &programs[which]).await?);
            self.holds(folder, &programs[which]).await?;
            port::arm_reset(&line)?;
            let begun = Instant::now();
            peer::upload(&self.avrdude, &line, &files[1 - which])?;
            times.peers.push(begun.elapsed());
            self.holds(folder, &programs[1 - which]).await?;
        }
        Ok(report(bytes, &times, ours_said, peers_said))
    }

    /// Whoever uploaded it: it is there.
    async fn holds(&self, folder: &Path, program: &Image) -> Result<(), Failure> {
        let found = port::dump(&folder.join("board")).await?;
        for segment in program.segments() {
            let at = segment.address() as usize;
            if found.get(at..at + segment.bytes().len()) != Some(segment.bytes()) {
                return Err("the board does not hold what was uploaded".into());
            }
        }
        Ok(())
    }
}

fn report(bytes: usize, times: &Times, ours_said: Said, peers_said: Said) -> Report {
    let over = |times: &[Duration], said: Said| -> Vec<f64> {
        times.iter().map(|time| time.as_secs_f64() - said.bits() / f64::from(BAUD)).collect()
    };
    let whole = |times: &[Duration]| times.iter().map(Duration::as_secs_f64).collect::<Vec<_>>();
    let Times { peers, ours, whole: flash } = times;
    let (peers_over, ours_over, flash_over) =
        (over(peers, peers_said), over(ours, ours_said), over(flash, ours_said));
    let by = |times: &[Duration]| ratios(&whole(times), &whole(peers));
    let wire = |who: &str, said: Said| {
        format!(
            "{who}: {} bytes to the board, {} back: {:.3} s at {BAUD} 8N1 ({:.3} s at {BAUD_OF_BOARD:.0}, as the chip divides it)",
            said.to_board,
            said.from_board,
            said.bits() / f64::from(BAUD),
            said.bits() / BAUD_OF_BOARD,
        )
    };
    Report {
        title: format!(
            "upload: {bytes} bytes to a virtual Uno, written and read back; {ROUNDS} of each, in turn"
        ),
        rows: vec![
            Row::time("peer: avrdude, start to exit", Series::times(peers)),
            Row::time("farmhand's driver, reset to handoff", Series::times(ours)).against(by(ours)),
            Row::time("farmhand flash, command to prompt", Series::times(flash)).against(by(flash)),
            Row::time("over the wire's own time: avrdude", Series::of(peers_over.iter().copied())),
            Row::time("over the wire's own time: driver", Series::of(ours_over.iter().copied()))
                .against(ratios(&ours_over, &peers_over))
                .goal(Goal::MedianWithin(0.45)),
            Row::time("over the wire's own time: flash", Series::of(flash_over.iter().copied()))
                .against(ratios(&flash_over, &peers_over))
                .goal(Goal::MedianWithin(0.45)),
        ],
        notes: vec![wire("farmhand", ours_said), wire("avrdude", peers_said)],
    }
}

/// A program of so many bytes that does nothing, and that differs from another seed's in every page.
fn program(bytes: usize, seed: u32) -> Result<Image, Failure> {
    /// `rjmp .-2`: itself, for ever (AVR instruction set).
    const HERE: [u8; 2] = [0xff, 0xcf];
    let mut all = HERE.to_vec();
    let mut state = seed.wrapping_mul(0x9e37_79b9);
    while all.len() < bytes {
        // xorshift32 (Marsaglia, 2003).
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        all.push(state as u8);
    }
    Ok(Image::from_chunks([(0, all)])?)
}
