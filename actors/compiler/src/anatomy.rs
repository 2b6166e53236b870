//! What takes the room in a program: its sections and its largest symbols, read from the ELF.

use std::fs;
use std::path::Path;

use object::{Architecture, Object, ObjectSection, ObjectSymbol, SectionFlags, SectionKind, SymbolKind, elf};

use crate::BuildError;

/// From here on an AVR's linker places what is in neither memory: EEPROM, fuses (binutils, `avr.sc`).
const AVR_BESIDE: u64 = 0x0081_0000;

/// A section that is in a memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Such as `.text`.
    pub name: String,
    /// Where it is when the program runs.
    pub address: u64,
    /// How large.
    pub bytes: u64,
    /// It is put on the device.
    pub program: bool,
    /// It takes RAM.
    pub data: bool,
}

/// A function or a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// As it is written in the source, where that can be told.
    pub name: String,
    /// Its section.
    pub section: String,
    /// How large.
    pub bytes: u64,
}

/// What takes the room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Anatomy {
    /// By their addresses.
    pub sections: Vec<Section>,
    /// The largest, the largest first.
    pub symbols: Vec<Symbol>,
}

/// Reads a linked program, with its `symbols_max` largest symbols. Blocks on the disk.
pub fn anatomy(program: &Path, symbols_max: usize) -> Result<Anatomy, BuildError> {
    let bytes = fs::read(program).map_err(BuildError::io("read", program))?;
    let no_elf =
        |why: object::Error| BuildError::NoArtifact { path: program.to_owned(), why: why.to_string() };
    of(&bytes, symbols_max).map_err(no_elf)
}

fn of(bytes: &[u8], symbols_max: usize) -> object::Result<Anatomy> {
    let file = object::File::parse(bytes)?;
    let is_avr = file.architecture() == Architecture::Avr;
    let mut sections = Vec::new();
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else { continue };
        let has = |flag: elf::SectionFlags| sh_flags & flag == flag;
        let beside = is_avr && section.address() >= AVR_BESIDE;
        if section.size() == 0 || !has(elf::SHF_ALLOC) || beside {
            continue;
        }
        let is_empty_at_start =
            matches!(section.kind(), SectionKind::UninitializedData | SectionKind::UninitializedTls);
        sections.push(Section {
            name: section.name().unwrap_or("?").to_owned(),
            address: section.address(),
            bytes: section.size(),
            program: !is_empty_at_start,
            data: has(elf::SHF_WRITE),
        });
    }
    sections.sort_by_key(|section| (section.address, section.name.clone()));
    let mut symbols = Vec::new();
    for symbol in file.symbols() {
        let counts = matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Data | SymbolKind::Unknown);
        let section = symbol.section_index().and_then(|at| file.section_by_index(at).ok());
        let (Some(section), true, 1..) = (section, counts, symbol.size()) else { continue };
        let Ok(section) = section.name() else { continue };
        if !sections.iter().any(|known| known.name == section) {
            continue;
        }
        let name = symbol.name_bytes().map(String::from_utf8_lossy).unwrap_or_default();
        symbols.push(Symbol { name: demangled(&name), section: section.to_owned(), bytes: symbol.size() });
    }
    symbols.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    // One thing may have several names, and a weak one may be there twice.
    symbols.dedup();
    symbols.truncate(symbols_max);
    Ok(Anatomy { sections, symbols })
}

/// `_ZN5Print5printEPKc` as `Print::print(char const*)`; what link-time optimisation adds to a name stays.
fn demangled(name: &str) -> String {
    let mangled = cpp_demangle::Symbol::new(name);
    mangled.ok().and_then(|symbol| symbol.demangle().ok()).unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn names_are_those_of_the_source() {
        assert_eq!(demangled("_ZN5Print5printEPKc"), "Print::print(char const*)");
        assert_eq!(demangled("main"), "main");
        assert_eq!(demangled("_Znonsense"), "_Znonsense");
    }

    #[test]
    fn a_program_is_taken_apart() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("a.cpp");
        let text = "namespace n { int table[300] = {1}; int room[500]; }\nint big(int x);\nint big(int x) { return n::table[x] + n::room[x]; }\nextern \"C\" void _start() { big(1); }\n";
        fs::write(&source, text).unwrap();
        let program = folder.path().join("a.elf");
        let mut cc = Command::new("g++");
        cc.args(["-O1", "-nostdlib", "-static", "-fno-asynchronous-unwind-tables", "-o"])
            .arg(&program)
            .arg(&source);
        assert!(cc.status().unwrap().success());
        let found = anatomy(&program, 2).unwrap();
        let names: Vec<_> = found.symbols.iter().map(|symbol| (symbol.name.as_str(), symbol.bytes)).collect();
        assert_eq!(names, [("n::room", 2000), ("n::table", 1200)]);
        let kind = |name: &str| {
            let section = found.sections.iter().find(|section| section.name == name).unwrap();
            (section.program, section.data)
        };
        assert_eq!(
            [kind(".text"), kind(".data"), kind(".bss")],
            [(true, false), (true, true), (false, true)]
        );
        fs::write(&program, "no ELF").unwrap();
        assert!(matches!(anatomy(&program, 2), Err(BuildError::NoArtifact { .. })));
    }
}
