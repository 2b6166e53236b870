//! `completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit;

pub(crate) fn run(shell: Shell) -> u8 {
    clap_complete::generate(shell, &mut Cli::command(), "farmhand", &mut std::io::stdout());
    exit::PASSED
}
