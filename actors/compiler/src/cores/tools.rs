//! Tools that cores are built with: each is a property of every recipe (Arduino platform specification, "Tools": `runtime.tools.*`).

use std::path::PathBuf;

use super::version::Version;
use super::{OwnCore, Places, below, index, name_of};
use crate::cache::{Hasher, Stat};

/// A tool that the boards manager installed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tool {
    vendor: String,
    name: String,
    version: String,
    folder: PathBuf,
}

impl Places {
    fn tools(&self) -> Vec<Tool> {
        let vendors =
            below(&self.data.join("packages")).into_iter().chain(below(&self.user.join("hardware")));
        let mut all = Vec::new();
        for vendor in vendors {
            for tool in below(&vendor.join("tools")) {
                for folder in below(&tool) {
                    let version = name_of(&folder);
                    all.push(Tool { vendor: name_of(&vendor), name: name_of(&tool), version, folder });
                }
            }
        }
        all
    }

    /// A name for all tools that are there: with another one, a recipe may mean another tool.
    pub(crate) fn tools_name(&self) -> String {
        let folders = self.tools().into_iter().map(|tool| tool.folder);
        let installed = self.installed().into_iter().map(|core| core.folder.join("installed.json"));
        let packages = self.platformio.iter().flat_map(|of| below(&of.packages));
        let mut all = Hasher::new("tools");
        for path in folders.chain(index::all(self)).chain(installed).chain(packages) {
            all = all.part(path.as_os_str().as_encoded_bytes());
            // Of an index, as the file system has it: it says which tool is meant.
            if let (true, Ok(stat)) = (path.is_file(), Stat::of(&path)) {
                all = all.part(stat.size.to_le_bytes()).part(stat.modified_ns.to_le_bytes());
            }
        }
        all.finish().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Where the tools are, as recipes name them: by name, and by name and version. Of several of one name, that counts which the
    /// core's index says, or the one that it refers to; then its own vendor's; then the newest.
    pub(crate) fn tool_properties(
        &self,
        core: &OwnCore,
        referenced: Option<&OwnCore>,
    ) -> Vec<(String, String)> {
        let mut tools = self.tools();
        let own = |tool: &Tool| tool.vendor == core.vendor;
        tools.sort_by_key(|tool| (own(tool), Version::of(&tool.version)));
        let several = |tool: &Tool| tools.iter().filter(|other| other.name == tool.name).count() > 1;
        if tools.iter().any(several) {
            // The weakest first: a later one of the same name wins.
            for core in referenced.into_iter().chain([core]) {
                for needed in index::needed(self, core) {
                    let is_it = |tool: &Tool| {
                        tool.vendor == needed.packager
                            && tool.name == needed.name
                            && tool.version == needed.version
                    };
                    tools.extend(tools.iter().find(|tool| is_it(tool)).cloned());
                }
            }
        }
        let properties = |tool: &Tool| {
            let path = tool.folder.to_string_lossy().into_owned();
            [
                (format!("runtime.tools.{}-{}.path", tool.name, tool.version), path.clone()),
                (format!("runtime.tools.{}.path", tool.name), path),
            ]
        };
        tools.iter().flat_map(properties).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;

    #[test]
    fn the_one_that_the_index_names_then_the_vendors_own_then_the_newest() {
        let home = tempfile::tempdir().unwrap();
        let places =
            Places { data: home.path().join("data"), user: home.path().join("user"), platformio: None };
        let packages = places.data.join("packages");
        for tool in
            ["acme/tools/gcc/9.0", "acme/tools/gcc/10.0", "other/tools/gcc/12.0", "other/tools/bossac/1.7"]
        {
            fs::create_dir_all(packages.join(tool)).unwrap();
        }
        let folder = packages.join("acme/hardware/arm/1.0.0");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("boards.txt"), "").unwrap();
        let core = places.core("acme", "arm", None).unwrap();
        let find = || {
            let all: BTreeMap<_, _> = places.tool_properties(&core, None).into_iter().collect();
            let shown = |name: &str| {
                let path = all.get(&format!("runtime.tools.{name}.path")).cloned().unwrap_or_default();
                path.strip_prefix(packages.to_str().unwrap()).unwrap_or_default().to_owned()
            };
            [shown("gcc"), shown("gcc-12.0"), shown("bossac")]
        };
        assert_eq!(find(), ["/acme/tools/gcc/10.0", "/other/tools/gcc/12.0", "/other/tools/bossac/1.7"]);
        let index = |vendor: &str, version: &str| {
            format!(
                r#"{{"packages": [{{"name": "acme", "platforms": [
                    {{"architecture": "arm", "version": "0.9.0", "toolsDependencies": []}},
                    {{"architecture": "arm", "version": "1.0.0", "toolsDependencies":
                        [{{"packager": "{vendor}", "name": "gcc", "version": "{version}"}}]}}]}}]}}"#
            )
        };
        fs::write(places.data.join("package_acme_index.json"), index("other", "12.0")).unwrap();
        assert_eq!(find()[0], "/other/tools/gcc/12.0");
        fs::write(folder.join("installed.json"), index("acme", "9.0")).unwrap();
        assert_eq!(find()[0], "/acme/tools/gcc/9.0", "what was noted when it was installed holds");
        fs::write(folder.join("installed.json"), "no JSON").unwrap();
        assert_eq!(find()[0], "/other/tools/gcc/12.0");
    }
}
