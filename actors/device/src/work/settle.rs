//! Evidence of a handoff of which nobody knows whether it was done, from a board that counts.

use farmhand_records::v1::{Evidence, LoaderStay};
use farmhand_records::{Epoch, FencingToken};

use super::{Ended, Opening, Stay, Stays, Tools};
use crate::driver::{Driver, Epochs};
use crate::evidence::{Try, before_asking};
use crate::state::{Line, Outcome};
use crate::virtual_uno;

/// To take evidence.
#[derive(Debug)]
pub(crate) struct Settling {
    pub(crate) of: Try,
    pub(crate) noted: LoaderStay,
    /// Two for an opening, and one for a stay that goes on.
    pub(crate) epochs: Vec<Epoch>,
    pub(crate) token: FencingToken,
    pub(crate) console_baud: u32,
}

impl Settling {
    /// Does it: from [`crate::state::Act::Settle`]. A board is looked for and never started: one that does not run has lost
    /// its stay.
    pub(crate) async fn run(self, tools: Tools) -> Ended {
        let board = virtual_uno::adopt(&tools.ctx.paths.board(&tools.config.name)).await;
        let counts = match &board {
            Some(board) => board.counts().await.ok(),
            None => None,
        };
        let unknown = |why: &str| settled(Evidence::Unknown(why.into()));
        if let Some(known) = before_asking(&self.of, Some(&self.noted), counts.as_ref()) {
            return Ended { board, counts, ..settled(known) };
        }
        let mut driver: Box<dyn Driver> = match tools.loader() {
            Ok(driver) => Box::new(driver),
            Err(problem) => return unknown(&problem.message),
        };
        let Some(board) = board else { return unknown("the board does not run any more") };
        let &[first, second, third] = self.epochs.as_slice() else {
            return unknown("no epochs were given to take it with");
        };
        match board.state().await {
            Ok(state) if !state.is_open && state.open_resets => {
                return unknown("its line is closed, and to open it would reset the board");
            }
            Ok(_) => {}
            Err(error) => return unknown(&error.to_string()),
        }
        let opening = Opening {
            baud: self.console_baud,
            known: None,
            fresh: [first, second],
            again: false,
            progress: None,
        };
        let opened = opening.with(&tools, Some(board.clone())).await;
        let Outcome::Opened(Ok(line)) = opened.outcome else {
            return unknown("its line could not be opened");
        };
        let link = match tools.borrow(self.token).await {
            Ok(link) => link,
            Err(error) => return with_line(unknown(&error.to_string()), line),
        };
        let mut way = tools.way(link, Some(&board));
        let _said_by_the_answer = way.link.baud(tools.config.upload_baud).await;
        let evidence = driver.evidence(&mut way, &self.of, &self.noted).await;
        let counts = way.reset.counts().await;
        let stays = matches!(evidence, Evidence::NotStarted(_));
        let stay = if stays {
            let (epochs, _no_resets) = Epochs::new([third]);
            Some(Stays::Loader(Box::new(Stay::new(self.of, way, driver, epochs, counts, self.console_baud))))
        } else {
            let _port_gone = way.link.baud(self.console_baud).await;
            None
        };
        let outcome = Outcome::Settled { evidence, line: Some(line), stays };
        Ended { board: Some(board), counts, stay, ..outcome.into() }
    }
}

fn settled(evidence: Evidence) -> Ended {
    Outcome::Settled { evidence, line: None, stays: false }.into()
}

fn with_line(mut ended: Ended, opened: Line) -> Ended {
    if let Outcome::Settled { line, .. } = &mut ended.outcome {
        *line = Some(opened);
    }
    ended
}
