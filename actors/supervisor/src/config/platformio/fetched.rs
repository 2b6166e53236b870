//! What of `lib_deps` is fetched: repositories, archives of servers, archives of this machine. A folder of this machine is used
//! where it is, and what the registry has is looked for among what is there.

use std::collections::BTreeSet;
use std::path::Path;

use farmhand_api::{PackageKind, PackageOrigin, PackageSpec};
use farmhand_project::platformio::{Dependency, Origin as From};
use sha2::{Digest, Sha256};

/// Before the names of such packages: no table of `farmhand.toml` is likely to be called so.
const PREFIX: &str = "lib_deps";
/// What git is not asked for.
const OTHERS: &[&str] = &["hg+", "svn+"];

impl super::Project {
    /// The packages of all environments: one that several need is there once. What an environment says wrongly is told where
    /// that one is built.
    pub(in super::super) fn fetched(&self) -> Vec<PackageSpec> {
        let of = |name: String| self.config.of(&name, "lib_deps", self).ok().flatten();
        let all = self.environments().into_iter().filter_map(of);
        let needed: BTreeSet<String> =
            all.flat_map(|found| found.several()).map(|needed| self.needed(&needed)).collect();
        needed.iter().filter_map(|needed| spec(needed)).collect()
    }
}

/// The package that one of `lib_deps` is; none where nothing is fetched for it.
fn spec(needed: &str) -> Option<PackageSpec> {
    let Dependency { name, origin } = Dependency::parse(needed);
    let origin = match origin {
        From::Registry { .. } => return None,
        From::Git { url, .. }
            if url.starts_with('-') || OTHERS.iter().any(|other| url.starts_with(other)) =>
        {
            return None;
        }
        From::Git { url, reference: Some(commit) } if is_commit(&commit) => {
            PackageOrigin::Git { url, commit }
        }
        From::Git { url, reference } => PackageOrigin::GitReference { url, reference },
        From::Url(url) if url.starts_with("http://") || url.starts_with("https://") => {
            PackageOrigin::Url { urls: vec![url], sha256: None }
        }
        From::Url(_) => return None,
        From::Folder(path) if Path::new(&path).is_file() => PackageOrigin::Path { path, sha256: None },
        From::Folder(_) => return None,
    };
    Some(PackageSpec {
        name: package_name(&name, needed),
        version: None,
        kind: PackageKind::Library,
        origin,
        strip: false,
        offers: BTreeSet::new(),
        environment: Default::default(),
        needed_as: Some(needed.to_owned()),
        locked: None,
    })
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// By what it is called and all that is said of it: another version of it is another package.
fn package_name(name: &str, needed: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let name: String = name.chars().map(plain).collect();
    let hash: String = Sha256::digest(needed)[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{PREFIX}-{name}-{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fetched_and_what_is_not() {
        let commit = "ab".repeat(20);
        for (needed, origin) in [
            ("Servo", None),
            ("a/Servo@^1.2", None),
            ("hg+https://x.org/a", None),
            ("file:///none/there", None),
            (
                "https://x.org/a/Lib.git#v1",
                Some(PackageOrigin::GitReference {
                    url: "https://x.org/a/Lib.git".into(),
                    reference: Some("v1".into()),
                }),
            ),
            (
                &format!("git@x.org:a/Lib.git#{commit}"),
                Some(PackageOrigin::Git { url: "git@x.org:a/Lib.git".into(), commit: commit.clone() }),
            ),
            (
                "https://x.org/Lib-1.zip",
                Some(PackageOrigin::Url { urls: vec!["https://x.org/Lib-1.zip".into()], sha256: None }),
            ),
        ] {
            let spec = spec(needed);
            assert_eq!(spec.as_ref().map(|spec| &spec.origin), origin.as_ref(), "{needed}");
            assert!(spec.is_none_or(|spec| spec.needed_as.as_deref() == Some(needed)));
        }
        let name = package_name("Lib", "https://x.org/a/Lib.git#v1");
        assert!(
            name.starts_with("lib_deps-Lib-") && name != package_name("Lib", "https://x.org/a/Lib.git#v2")
        );
    }
}
