//! `farmhand`: asks a farm, and shows its answers.

fn main() -> std::process::ExitCode {
    farmhand_cli::farmhand()
}
