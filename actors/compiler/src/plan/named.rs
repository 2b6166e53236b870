//! Files that a command's arguments name: scripts, libraries, objects, files of arguments.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::Layout;
use crate::properties::split_command;

/// Files of arguments within files of arguments: more than anybody writes.
const DEPTH_MAX: usize = 8;
/// Scripts of one folder in which a linker looks for scripts.
const SCRIPTS_MAX: usize = 256;
/// A linker's script is shorter, in bytes; a library is not.
const SCRIPT_BYTES_MAX: u64 = 1 << 20;
/// Programs of one folder in which a compiler looks for its own.
const PROGRAMS_MAX: usize = 256;
/// Before the name of a file, in one word with it.
const WAYS: &[&str] = &["-T", "-dT", "-include", "-imacros"];

/// Files that arguments of a compiler or linker name, which runs in the project's folder, and those that the files of arguments among
/// them name; each once.
pub(crate) fn files_named(layout: &Layout, args: &[String]) -> Vec<PathBuf> {
    let mut search = Search { layout, folders: Vec::new(), found: BTreeSet::new() };
    search.look_at(args);
    search.take_in();
    search.found.into_iter().collect()
}

/// Files that a compile's arguments name and no depfile tells of: files of arguments, specs, plugins, profiles, and the programs in the
/// folders of `-B`.
pub(crate) fn files_of_compile(layout: &Layout, args: &[String]) -> Vec<PathBuf> {
    // Each other argument would be looked for in the project's folder, for each source.
    let may_name = |at: &usize| {
        let (arg, before) = (&*args[*at], at.checked_sub(1).map(|before| &*args[before]));
        arg.starts_with('@')
            || arg.contains(",@")
            || arg.starts_with("-B")
            || !arg.starts_with("-D") && arg.contains('=')
            || before.is_some_and(|before| matches!(before, "-B" | "--config" | "-Xclang"))
    };
    let args: Vec<_> = (0..args.len()).filter(may_name).map(|at| args[at].clone()).collect();
    // What a core's hooks leave in the build's folder is made anew by each build, and compared there.
    let is_made = |path: &PathBuf| path.starts_with(&layout.build);
    files_named(layout, &args).into_iter().filter(|path| !is_made(path)).collect()
}

/// Whether arguments of a link name its script (GNU ld, "Command Line Options", `-T` and `--script`); `-Ttext=` and its like
/// say addresses.
pub(crate) fn names_script(layout: &Layout, args: &[String]) -> bool {
    const ADDRESSES: &[&str] = &["bss", "data", "text", "text-segment", "rodata-segment", "ldata-segment"];
    let mut search = Search { layout, folders: Vec::new(), found: BTreeSet::new() };
    search.words(args, 0).iter().any(|word| {
        let is_long = ["--script", "-script"]
            .iter()
            .any(|name| word.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')));
        let is_short = word
            .strip_prefix("-T")
            .is_some_and(|rest| !ADDRESSES.contains(&rest.split_once('=').map_or(rest, |(name, _)| name)));
        is_long || is_short
    })
}

/// Likewise, and the scripts in the folders where a linker looks for those that others include.
pub(crate) fn files_and_scripts(layout: &Layout, args: &[String]) -> Vec<PathBuf> {
    let mut search = Search { layout, folders: Vec::new(), found: BTreeSet::new() };
    search.look_at(args);
    for folder in search.folders.clone() {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_script = |path: &PathBuf| path.extension().is_some_and(|end| end == "ld" || end == "lds");
        search.found.extend(entries.filter(is_script).take(SCRIPTS_MAX));
    }
    search.found.into_iter().collect()
}

/// Folders in which arguments have headers and libraries looked for.
pub(crate) fn folders_named(layout: &Layout, args: &[String]) -> Vec<PathBuf> {
    const WAYS: &[&str] = &["-I", "-isystem", "-iquote", "-L"];
    let mut search = Search { layout, folders: Vec::new(), found: BTreeSet::new() };
    let words = search.words(args, 0);
    let mut folders = BTreeSet::new();
    for (at, word) in words.iter().enumerate() {
        let Some(rest) = WAYS.iter().find_map(|way| word.strip_prefix(way)) else { continue };
        let folder = if rest.is_empty() { words.get(at + 1).map(String::as_str) } else { Some(rest) };
        folders.extend(folder.map(|folder| layout.whole(folder)));
    }
    folders.into_iter().collect()
}

struct Search<'a> {
    layout: &'a Layout,
    /// Where libraries are looked for.
    folders: Vec<PathBuf>,
    found: BTreeSet<PathBuf>,
}

impl Search<'_> {
    /// The words of arguments: what goes to the linker is cut, what stands in a file is read.
    fn words(&mut self, args: &[String], depth: usize) -> Vec<String> {
        let mut words = Vec::new();
        for arg in args.iter().flat_map(|arg| cut(arg)) {
            let file =
                arg.strip_prefix('@').map(|file| self.layout.whole(file)).filter(|file| file.is_file());
            match file {
                Some(file) if depth < DEPTH_MAX && self.found.insert(file.clone()) => {
                    let text = fs::read(&file).unwrap_or_default();
                    let text = String::from_utf8_lossy(&text).replace(['\n', '\r'], " ");
                    words.extend(self.words(&split_command(&text), depth + 1));
                }
                Some(_) => {}
                None => {
                    if let Some(folder) = arg.strip_prefix("-L").filter(|folder| !folder.is_empty()) {
                        self.folders.push(self.layout.whole(folder));
                    }
                    words.push(arg.to_owned());
                }
            }
        }
        words
    }

    fn look_at(&mut self, args: &[String]) {
        let words = self.words(args, 0);
        for (at, word) in words.iter().enumerate() {
            match word.strip_prefix("-B") {
                Some("") => {
                    self.found.extend(words.get(at + 1).map(|next| self.programs(next)).unwrap_or_default())
                }
                Some(prefix) => self.found.extend(self.programs(prefix)),
                None => self.look(word),
            }
        }
    }

    fn look(&mut self, word: &str) {
        if let Some(name) = word.strip_prefix("-l") {
            let name = name.strip_prefix(':').map_or_else(|| format!("lib{name}.a"), str::to_owned);
            self.found.extend(self.in_folders(&name));
            return;
        }
        let is_macro = word.starts_with("-D");
        let option = word.strip_prefix('-').filter(|_| !is_macro);
        let value = || option.and_then(|word| word.split_once('=')).map(|(_, value)| value);
        let named = WAYS.iter().find_map(|way| word.strip_prefix(way)).or_else(value).unwrap_or(word);
        let path = self.layout.whole(named);
        if path.is_file() {
            self.found.insert(path);
        } else if named != word && !named.is_empty() {
            self.found.extend(self.in_folders(named));
        }
    }

    /// What is called so at its beginning, or lies in the folder of that name (GCC, "Directory Options", `-B`).
    fn programs(&self, prefix: &str) -> Vec<PathBuf> {
        let prefix = self.layout.whole(prefix);
        let (folder, start) = match prefix.is_dir() {
            true => (Some(&*prefix), None),
            false => (prefix.parent(), prefix.file_name().and_then(|name| name.to_str())),
        };
        let entries = folder.and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
        let is_one = |name: &str| start.is_none_or(|start| name.starts_with(start));
        let ours = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_one));
        let files = ours.map(|entry| entry.path()).filter(|path| path.is_file());
        files.take(PROGRAMS_MAX).collect()
    }

    /// What the scripts among those that were found take in, and those in turn (GNU ld, "File Commands", `INCLUDE`).
    fn take_in(&mut self) {
        let mut left: Vec<_> = self.found.iter().cloned().collect();
        while let Some(script) = left.pop() {
            for name in taken_in(&script) {
                let own = Some(self.layout.whole(&name)).filter(|path| path.is_file());
                if let Some(path) = own.or_else(|| self.in_folders(&name))
                    && self.found.insert(path.clone())
                {
                    left.push(path);
                }
            }
        }
    }

    fn in_folders(&self, name: &str) -> Option<PathBuf> {
        self.folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
    }
}

/// What a linker's script takes in by name; nothing where it is too long to be one.
fn taken_in(script: &Path) -> Vec<String> {
    if fs::metadata(script).map_or(u64::MAX, |about| about.len()) > SCRIPT_BYTES_MAX {
        return Vec::new();
    }
    let text = fs::read(script).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let named = text.lines().filter_map(|line| line.trim().strip_prefix("INCLUDE"));
    let named = named.filter(|rest| rest.starts_with([' ', '\t', '"']));
    named.filter_map(|rest| rest.split_whitespace().next()).map(|name| name.replace(['"', ';'], "")).collect()
}

/// An argument; where it is the linker's, the preprocessor's or the assembler's, its parts.
fn cut(arg: &str) -> impl Iterator<Item = &str> {
    let list = ["-Wl,", "-Wp,", "-Wa,"].iter().find_map(|program| arg.strip_prefix(program));
    let (parts, own) = match list {
        Some(list) => (Some(list), None),
        None => (None, Some(arg)),
    };
    parts.into_iter().flat_map(|list| list.split(',')).chain(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_libraries_objects_and_files_of_arguments() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, text) in [
            ("own.ld", ""),
            ("takes.ld", "INCLUDE own.ld\n  INCLUDE \"odd.x\"\nINCLUDE none.ld\nINCLUDED sdk/flash.ld\n"),
            ("sdk/flash.ld", ""),
            ("sdk/common.ld", ""),
            ("sdk/libwifi.a", ""),
            ("sdk/odd.x", ""),
            ("boot.o", ""),
            ("opts", "-lwifi\n\"-Tflash.ld\" @more"),
            ("more", "-L SDK -include own.h"),
            ("own.h", ""),
            ("own.specs", ""),
            ("bin/as", ""),
            ("bin/ld", ""),
        ] {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), text).unwrap();
        }
        let layout = Layout::new(folder.path(), &at(".farmhand/build"), &at(".farmhand/build"));
        let shown = |found: Vec<PathBuf>| -> Vec<String> {
            let name = |path: &PathBuf| path.strip_prefix(folder.path()).unwrap().display().to_string();
            found.iter().map(name).collect()
        };
        let check = |args: &str, expect: &[&str]| {
            let args: Vec<_> = args.split(' ').map(str::to_owned).collect();
            assert_eq!(shown(files_named(&layout, &args)), expect, "{args:?}");
        };
        check("-Wl,-T,own.ld -o out.elf", &["own.ld"]);
        check("-Lsdk -Ttakes.ld", &["own.ld", "sdk/odd.x", "takes.ld"]);
        check("-Wl,--script=own.ld,--defsym=x=1 boot.o", &["boot.o", "own.ld"]);
        check("-Lsdk -lwifi -l:odd.x -lnone -Tflash.ld", &["sdk/flash.ld", "sdk/libwifi.a", "sdk/odd.x"]);
        check("-Lsdk @opts @none", &["more", "opts", "own.h", "sdk/flash.ld", "sdk/libwifi.a"]);
        check("-specs=own.specs -B bin -DX=boot.o", &["bin/as", "bin/ld", "own.specs"]);
        check("--specs=own.specs -Bbin/l", &["bin/ld", "own.specs"]);
        let compile = ["-Os", "@more", "-B", "bin", "-specs=own.specs", "-DX=boot.o", "boot.o"];
        let compile = compile.map(str::to_owned);
        assert_eq!(
            shown(files_of_compile(&layout, &compile)),
            ["bin/as", "bin/ld", "more", "own.h", "own.specs"]
        );
        let says = |args: &str| {
            let args: Vec<_> = args.split(' ').map(str::to_owned).collect();
            names_script(&layout, &args)
        };
        for args in
            ["-Town.ld", "-T own.ld", "-Wl,-T,own.ld", "-Wl,--script=own.ld", "-Wl,--script,own.ld", "@opts"]
        {
            assert!(says(args), "{args}");
        }
        for args in ["-Wl,-Ttext=0x80000000", "-Tdata 0", "-Wl,--gc-sections", "-Lsdk"] {
            assert!(!says(args), "{args}");
        }
        assert!(says("-Ttext.ld"), "a script of that name");
        let made = at(".farmhand/build/opts");
        fs::create_dir_all(made.parent().unwrap()).unwrap();
        fs::write(&made, "@own.specs").unwrap();
        let hooked = [format!("@{}", made.display())];
        assert_eq!(shown(files_of_compile(&layout, &hooked)), ["own.specs"], "made by the build");
        let args = ["-Lsdk".to_owned()];
        assert_eq!(shown(files_and_scripts(&layout, &args)), ["sdk/common.ld", "sdk/flash.ld"]);
    }
}
