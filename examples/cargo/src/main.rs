//! What the machine that it runs on has.

use std::fs;

fn main() -> std::io::Result<()> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    println!("cpus: {}", cpus.lines().filter(|line| line.starts_with("processor")).count());
    let memory = fs::read_to_string("/proc/meminfo")?;
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    println!("memory: {}", total.unwrap_or("?").trim());
    println!("done");
    Ok(())
}
