//! Which packages of apt's closure are taken. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::parse::Indexed;
use crate::catalogue::matches;

/// Those that the roots reach without passing through one that is left out, by name.
///
/// `solution` is what apt chose to install: it has settled alternatives and virtual packages.
pub(crate) fn taken(solution: &[Indexed], roots: &[&str], without: &[(&str, &str)]) -> Vec<Indexed> {
    let mut by_name: BTreeMap<&str, Vec<&Indexed>> = BTreeMap::new();
    for package in solution {
        for name in package.provides.iter().chain([&package.name]) {
            by_name.entry(name).or_default().push(package);
        }
    }
    let left_out = |name: &str| without.iter().any(|(pattern, _why)| matches(pattern, name));
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    let mut to_visit: Vec<&str> = roots.to_vec();
    while let Some(name) = to_visit.pop() {
        for package in by_name.get(name).into_iter().flatten() {
            if !left_out(&package.name) && reached.insert(&package.name) {
                to_visit.extend(package.depends.iter().map(String::as_str));
            }
        }
    }
    solution.iter().filter(|package| reached.contains(&*package.name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, depends: &[&str], provides: &[&str]) -> Indexed {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Indexed {
            name: name.into(),
            version: "1".into(),
            architecture: "all".into(),
            bytes: 1,
            unpacked_bytes: 1,
            sha256: [0; 32],
            depends: own(depends),
            provides: own(provides),
        }
    }

    #[track_caller]
    fn check(without: &[(&str, &str)], expect: &[&str]) {
        let solution = [
            package("dev", &["lib", "parts"], &[]),
            package("lib", &["libc6", "elf"], &[]),
            package("parts", &["gl", "lib"], &[]),
            package("gl", &["llvm", "libc6"], &[]),
            package("llvm", &[], &[]),
            package("elf-t64", &["z", "dev"], &["elf"]),
            package("z", &[], &[]),
            package("libc6", &["gcc-12-base"], &[]),
            package("gcc-12-base", &[], &[]),
        ];
        let mut names: Vec<_> =
            taken(&solution, &["dev"], without).into_iter().map(|package| package.name).collect();
        names.sort();
        assert_eq!(names, expect);
    }

    #[test]
    fn takes_what_the_roots_reach() {
        check(&[], &["dev", "elf-t64", "gcc-12-base", "gl", "lib", "libc6", "llvm", "parts", "z"]);
        check(&[("libc6", "")], &["dev", "elf-t64", "gl", "lib", "llvm", "parts", "z"]);
        // What only `parts` brings goes with it; what another brings too stays.
        check(&[("libc6", ""), ("parts", "")], &["dev", "elf-t64", "lib", "z"]);
        check(&[("gcc-*-base", ""), ("parts", "")], &["dev", "elf-t64", "lib", "libc6", "z"]);
        // A left-out root is left out.
        check(&[("dev", "")], &[]);
    }
}
