//! Packages that a project declares, and those that it declares wrongly.

use std::path::Path;

use farmhand_messages::packages::PackageOrigin;

use super::*;

const HASH: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[test]
fn packages_are_declared() {
    let text = format!(
        r#"
[package.gcc]
source = "url"
kind = "toolchain"
url = "https://example.org/gcc.tar.xz"
mirrors = ["http://example.net/gcc.tar.xz"]
sha256 = "{HASH}"
version = "14.2"
strip = true
offers = ["cc:avr", "c++:avr"]
environment = {{ GCC = "{{prefix}}/bin" }}
[package.mine]
source = "path"
kind = "library"
path = "lib/mine"
[package.far]
source = "git"
kind = "library"
url = "https://example.org/far.git"
commit = "{}"
[package.ziglang]
source = "pip"
kind = "toolchain"
version = "0.14.1"
[package.avr8js]
source = "npm"
kind = "emulator"
version = "0.21.1"
project = "@x/avr8js"
[package.avr-gcc]
source = "debian"
kind = "toolchain"
"#,
        "ab".repeat(20)
    );
    let case = project(&[("farmhand.toml", &text)]);
    case.load().unwrap();
    let packages = read_packages(case.folder.path()).unwrap();
    let names: Vec<_> =
        packages.iter().map(|one| (&*one.name, one.origin.word(), one.kind.as_str())).collect();
    assert_eq!(
        names,
        [
            ("avr-gcc", "debian", "toolchain"),
            ("avr8js", "npm", "emulator"),
            ("far", "git", "library"),
            ("gcc", "url", "toolchain"),
            ("mine", "path", "library"),
            ("ziglang", "pip", "toolchain"),
        ]
    );
    let gcc = &packages[3];
    assert!(gcc.strip && gcc.offers.contains("cc:avr") && gcc.environment["GCC"] == "{prefix}/bin");
    assert!(matches!(&gcc.origin, PackageOrigin::Url { urls, .. } if urls.len() == 2));
    let mine = &packages[4];
    assert!(
        matches!(&mine.origin, PackageOrigin::Path { path, .. } if Path::new(path) == case.folder.path().join("lib/mine"))
    );
}

#[test]
fn packages_that_are_wrong_are_told_at_their_place() {
    let cases: &[(&str, &str)] = &[
        ("[package.x]\nkind = \"tool\"", "1:1 F013 source: package.x needs it"),
        ("[package.x]\nsource = \"ulr\"\nkind = \"tool\"", "2:10 F013 source: there is no source \"ulr\""),
        (
            "[package.x]\nsource = \"path\"\nkind = \"toool\"\npath = \"x\"",
            "3:8 F013 kind: there is no kind \"toool\"",
        ),
        (
            "[package.x]\nsource = \"url\"\nkind = \"tool\"\nurl = \"https://x/y\"",
            "2:10 F013 sha256: package.x needs it",
        ),
        (
            "[package.x]\nsource = \"url\"\nkind = \"tool\"\nurl = \"ftp://x/y\"\nsha256 = \"00\"",
            "4:7 F013 url: \"ftp://x/y\" is no",
        ),
        (
            "[package.x]\nsource = \"path\"\nkind = \"tool\"\npath = \"x\"\nsha256 = \"00\"",
            "5:10 F013 sha256: it wants 64",
        ),
        (
            "[package.x]\nsource = \"path\"\nkind = \"tool\"\npath = \"x\"\nmirrors = []",
            "5:1 F012 there is no key \"mirrors\" in [package.x]",
        ),
        (
            "[package.x]\nsource = \"git\"\nkind = \"tool\"\nurl = \"x\"\ncommit = \"main\"",
            "5:10 F013 commit: it wants a commit in full",
        ),
        ("[package.x]\nsource = \"pip\"\nkind = \"tool\"", "2:10 F013 version: package.x needs it"),
        (
            "[package.x]\nsource = \"pip\"\nkind = \"tool\"\nversion = \"1 --pre\"",
            "4:11 F013 version: \"1 --pre\" is no version of pip's",
        ),
        (
            "[package.x]\nsource = \"debian\"\nkind = \"tool\"\npackage = \"avrgcc\"",
            "4:11 F013 package: farmhand describes no package",
        ),
        (
            "[package.avr-gcc]\nsource = \"path\"\nkind = \"tool\"\npath = \"x\"",
            "1:10 F013 package: farmhand itself describes",
        ),
        (
            "[package.\"../x\"]\nsource = \"path\"\nkind = \"tool\"\npath = \"x\"",
            "1:10 F013 package: a package's name",
        ),
        (
            "[package.x]\nsource = \"path\"\nkind = \"tool\"\npath = \"x\"\noffers = [1]",
            "5:11 F013 offers: it wants a list",
        ),
        (
            "[package.x]\nsource = \"path\"\nkind = \"tool\"\npath = \"x\"\nenvironment = { A = \"{prefx}/bin\" }",
            "5:21 F013 environment: it has {prefx}: {prefix} stands for",
        ),
        (
            "[package.x]\nsource = \"path\"\nkind = \"tool\"\npath = \"x\"\nenvironment = { \"A=B\" = \"x\" }",
            "5:25 F013 environment: \"A=B\" is no variable's name",
        ),
    ];
    for (text, expected) in cases {
        let wrong = project(&[("farmhand.toml", text)]).wrong();
        assert!(wrong.starts_with(&format!("farmhand.toml:{expected}")), "{text}\n{wrong}");
    }
}
