//! `completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit;
use crate::term::Term;

pub(crate) fn run(term: &Term, shell: Shell) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "farmhand", &mut script);
    term.text(&String::from_utf8_lossy(&script));
    exit::PASSED
}
