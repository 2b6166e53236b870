//! `build --size`: what takes the room in a program.

use std::path::Path;

use farmhand::{Anatomy, Section, Sizes, Symbol, program_anatomy};
use serde_json::{Value, json};

use crate::failed::Failed;
use crate::table::{columns, table};

/// As many of the largest symbols as a screen shows beside the sections.
const SYMBOLS_MAX: usize = 20;

/// Reads the program.
pub(super) fn of(elf: Option<&Path>, artifact: &Path) -> Result<Anatomy, Failed> {
    program_anatomy(elf.unwrap_or(artifact), SYMBOLS_MAX).map_err(|mut problem| {
        problem.help = vec!["sections and symbols are in an ELF; a hex file has none".into()];
        problem.into()
    })
}

/// For people.
pub(super) fn text(anatomy: &Anatomy, sizes: &Sizes) -> String {
    let where_ = |section: &Section| match (section.program, section.data) {
        (true, true) => "program and data",
        (true, false) => "program",
        (false, true) => "data",
        (false, false) => "",
    };
    let mut rows: Vec<Vec<String>> = Vec::new();
    for section in &anatomy.sections {
        rows.push(vec![
            section.name.clone(),
            format!("{:>8}", section.bytes),
            format!("0x{:08x}", section.address),
            where_(section).to_owned(),
        ]);
    }
    let mut text = table(&["section", "   bytes", "address", "takes"], &rows);
    let totals = [
        ("program", sizes.image_bytes, sizes.image_bytes_max),
        ("data", sizes.data_bytes, sizes.data_bytes_max),
    ];
    let total = |(what, bytes, max): (&str, u64, u64)| {
        let of = match max {
            0 => String::new(),
            max => format!("of {max} ({} %)", bytes * 100 / max),
        };
        vec![what.to_owned(), format!("{bytes:>8}"), of]
    };
    text.push('\n');
    text.push_str(&columns(&totals.map(total)));
    if !anatomy.symbols.is_empty() {
        let row = |symbol: &Symbol| {
            vec![format!("{:>8}", symbol.bytes), symbol.section.clone(), symbol.name.clone()]
        };
        let rows: Vec<_> = anatomy.symbols.iter().map(row).collect();
        text.push('\n');
        text.push_str(&table(&["   bytes", "section", "largest symbols"], &rows));
    }
    text
}

/// For machines.
pub(super) fn json(anatomy: &Anatomy) -> Value {
    let section = |section: &Section| {
        json!({ "name": section.name, "address": section.address, "bytes": section.bytes, "program": section.program,
            "data": section.data })
    };
    let symbol =
        |symbol: &Symbol| json!({ "name": symbol.name, "section": symbol.section, "bytes": symbol.bytes });
    json!({ "sections": anatomy.sections.iter().map(section).collect::<Vec<_>>(),
        "symbols": anatomy.symbols.iter().map(symbol).collect::<Vec<_>>() })
}
