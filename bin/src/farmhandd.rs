//! `farmhandd`: a farm, as a process of its own.

fn main() -> std::process::ExitCode {
    farmhand_cli::farmhandd()
}
