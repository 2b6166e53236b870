//! How a board is reset.

use std::time::Duration;

use tokio::time::sleep;

use crate::driver::DriverError;
use crate::link::Link;
use crate::virtual_uno::{Board, Counts};

/// How long DTR and RTS stay off before they are asserted. On an Uno the line goes through 100 nF to the reset pin;
/// the capacitor is emptied through the chip's pull-up, 60 kΩ at most (ATmega328P data sheet, "DC Characteristics"),
/// beside the board's 10 kΩ. Eight time constants of the chip's alone. Others wait 250 ms.
const LINES_OFF: Duration = Duration::from_millis(50);

/// From the falling edge until the chip listens: the capacitor lets go of the pin after about 1 ms, and the chip
/// starts within 65 ms (data sheet, "Start-up Times"). What is sent before that is lost.
const CHIP_STARTS: Duration = Duration::from_millis(80);

/// What resets a board.
#[derive(Debug, Clone)]
pub enum ResetLine {
    /// The port's DTR and RTS.
    Port,
    /// A virtual board's own reset.
    Board(Board),
}

impl ResetLine {
    /// What the board has counted, where it counts, and answers.
    pub async fn counts(&self) -> Option<Counts> {
        match self {
            Self::Port => None,
            Self::Board(board) => board.counts().await.ok(),
        }
    }

    /// Resets the board; afterwards it listens.
    ///
    /// The lines are left asserted. The capacitor makes the pulse, so that no board is held in reset; and a line that
    /// stays asserted has no edge when the port is closed and opened again without HUPCL, hence resets nothing.
    pub async fn pulse(&mut self, link: &mut Link) -> Result<(), DriverError> {
        match self {
            Self::Port => {
                // A pseudo terminal of somebody's has no lines: whoever opened it has to have reset the board.
                if link.lines(false, false).await? {
                    sleep(LINES_OFF).await;
                    link.lines(true, true).await?;
                    sleep(CHIP_STARTS).await;
                }
                Ok(())
            }
            // Answered when the chip has been reset; its loader takes what waits in the line.
            Self::Board(board) => board.reset().await.map_err(|error| DriverError::Reset(error.to_string())),
        }
    }
}
