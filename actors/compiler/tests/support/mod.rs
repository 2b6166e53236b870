//! A toolchain and a core of this machine's own compiler: real compiles, with no package to fetch.
//!
//! Its programs are scripts that note what they are asked to do, and then do it with the host's tools.

#![allow(dead_code, reason = "not every test needs all of it")]

pub(crate) mod edited;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use farmhand_api::{BuildEvent, Problem};
use farmhand_compiler::{BuildEnv, BuildError, BuildWish, Built, Packages, Pool, Programs, Telling, build};
use farmhand_messages::installer::{Installed, PackageWish};
use farmhand_records::v1::{Build, PackageOrigin, PackageSpec, Source, Toolchain};
use farmhand_runtime::Paths;
use tempfile::TempDir;

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
const CORE: &str = "usr/share/arduino/hardware/arduino/avr";

const PLATFORM: &str = r#"
version=1.0.0
compiler.warning_flags=-w
compiler.warning_flags.none=-w
compiler.warning_flags.default=-Wall
compiler.flags=-c -g -O1 {compiler.warning_flags} -fno-asynchronous-unwind-tables -fno-stack-protector -MMD
build.extra_flags=
recipe.c.o.pattern="{compiler.path}avr-gcc" {compiler.flags} -DTOY={build.toy} {build.extra_flags} {includes} "{source_file}" -o "{object_file}"
recipe.cpp.o.pattern="{compiler.path}avr-g++" {compiler.flags} -DTOY={build.toy} {build.extra_flags} {includes} "{source_file}" -o "{object_file}"
recipe.S.o.pattern="{compiler.path}avr-gcc" -c -x assembler-with-cpp {includes} "{source_file}" -o "{object_file}"
recipe.ar.pattern="{compiler.path}avr-gcc-ar" rcs "{archive_file_path}" "{object_file}"
recipe.c.combine.pattern="{compiler.path}avr-gcc" -nostdlib -static -no-pie -Wl,-e,main -o "{build.path}/{build.project_name}.elf" {object_files} "{build.path}/{archive_file}"
recipe.objcopy.hex.pattern="{compiler.path}avr-objcopy" -O ihex -j .text -j .rodata -j .data "{build.path}/{build.project_name}.elf" "{build.path}/{build.project_name}.hex"
"#;
const BOARDS: &str = "
toy.name=Toy
toy.build.toy=1
toy.build.core=toy
toy.build.variant=flat
toy.upload.maximum_size=4000
tiny.name=Tiny
tiny.build.toy=1
tiny.build.core=toy
tiny.build.variant=flat
tiny.upload.maximum_size=10
";

/// A farm's folders, a toolchain and a project.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) env: BuildEnv,
}

struct Toys(PathBuf);

#[async_trait::async_trait]
impl Packages for Toys {
    async fn install(&self, wish: PackageWish) -> Result<Installed, Problem> {
        let name = match &wish {
            PackageWish::Named(name) => name.as_str(),
            PackageWish::Offering(offer) => match offer.as_str() {
                "cc:avr" => "avr-gcc",
                "core:arduino:avr" => "arduino-avr",
                "cc:riscv64-unknown-elf" => "riscv-gcc",
                "libc:picolibc:riscv64-unknown-elf" => "riscv-picolibc",
                other => panic!("nobody asks for {other}"),
            },
            PackageWish::Declared(spec) => return Ok(as_it_lies(spec)),
            PackageWish::Local { .. } => panic!("no build asks for a file"),
        };
        let version = fs::read_to_string(self.0.join(name).join(".version")).expect("a toy package");
        Ok(Installed {
            name: name.into(),
            version: version.clone(),
            prefix: self.0.join(name).join(&version),
            hash: [version.len().try_into().unwrap_or(0); 32],
            environment: Default::default(),
            already: true,
            archives: Vec::new(),
        })
    }
}

/// A package of a project's, used where it lies: what an installer does with it is its own test's.
fn as_it_lies(spec: &PackageSpec) -> Installed {
    let PackageOrigin::Path { path, .. } = &spec.origin else { panic!("a folder") };
    let environment = spec.environment.iter();
    let environment = environment.map(|(name, value)| (name.clone(), value.replace("{prefix}", path)));
    Installed {
        name: spec.name.clone(),
        version: "local".into(),
        prefix: path.into(),
        hash: [9; 32],
        environment: environment.collect(),
        already: true,
        archives: Vec::new(),
    }
}

pub(crate) fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

impl Bench {
    /// With so many workers.
    pub(crate) fn new(workers: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let packages = root.join("packages");
        for name in ["avr-gcc", "arduino-avr"] {
            write(&packages.join(name).join(".version"), "1.0");
        }
        let bench = Self {
            env: BuildEnv {
                paths: Paths::new(root.join("home")),
                pool: Pool::start(workers),
                packages: Arc::new(Toys(packages)),
                programs: Programs::default(),
                is_farm: false,
                telling: Telling::Steps,
            },
            folder,
        };
        for (name, host) in
            [("gcc", "gcc"), ("g++", "g++"), ("gcc-ar", "ar"), ("ar", "ar"), ("objcopy", "objcopy")]
        {
            bench.tool(name, &format!("exec {host} \"$@\""));
        }
        let core = bench.core();
        write(&core.join("platform.txt"), PLATFORM);
        write(&core.join("boards.txt"), BOARDS);
        let toy = core.join("cores/toy");
        write(
            &toy.join("Arduino.h"),
            "#pragma once\n#include \"pins.h\"\n#ifdef __cplusplus\nextern \"C\" {\n#endif\nint ticks(void);\nvoid setup(void);\nvoid loop(void);\n#ifdef __cplusplus\n}\n#endif\n",
        );
        write(&toy.join("ticks.c"), "#include <Arduino.h>\nint ticks(void) { return PIN + TOY; }\n");
        write(&toy.join("main.cpp"), "#include <Arduino.h>\nint main() { setup(); for (;;) loop(); }\n");
        write(&core.join("variants/flat/pins.h"), "#define PIN 13\n");
        let dep = core.join("libraries/Dep/src");
        write(&dep.join("Dep.h"), "int dep();\n");
        write(&dep.join("Dep.cpp"), "#include <Arduino.h>\n#include \"Dep.h\"\nint dep() { return 5; }\n");
        bench
    }

    /// Adds the toolchain of boards without a core: this machine's own, which knows nothing of their instructions.
    pub(crate) fn bare(workers: usize) -> Self {
        let bench = Self::new(workers);
        write(&bench.package("riscv-gcc").join(".version"), "1.0");
        for (name, then) in [("gcc", "gcc"), ("g++", "g++")] {
            bench.bare_tool(name, &format!("exec {then} \"$@\""));
        }
        bench
    }

    /// Makes a program of that toolchain: a script that notes what it is asked, and goes on with `then` and what is
    /// left of its arguments without those that the host's compiler does not know.
    pub(crate) fn bare_tool(&self, name: &str, then: &str) {
        let path = self.package("riscv-gcc").join("1.0/usr/bin").join(format!("riscv64-unknown-elf-{name}"));
        let note = format!("echo \"{name} $*\" >> {}", self.log_path().display());
        let foreign = "-march=*|-mabi=*|-mcmodel=*|-T*|--specs=*|--picolibc-prefix=*";
        let script = format!(
            "#!/bin/sh\ncase \"$1\" in -print*) ;; *) {note} ;; esac\nfor arg; do\nshift\n\
             case \"$arg\" in {foreign}) ;; *) set -- \"$@\" \"$arg\" ;; esac\ndone\n{then}\n"
        );
        write(&path, &script);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    pub(crate) fn package(&self, name: &str) -> PathBuf {
        self.root().join("packages").join(name)
    }

    pub(crate) fn core(&self) -> PathBuf {
        self.package("arduino-avr").join("1.0").join(CORE)
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.root().join("log")
    }

    /// Makes a program of the toolchain: a script that notes its last argument but flags, and goes on with `then`.
    pub(crate) fn tool(&self, name: &str, then: &str) {
        let path = self.package("avr-gcc").join("1.0/usr/bin").join(format!("avr-{name}"));
        let note = format!("echo \"{name} $*\" >> {}", self.log_path().display());
        let script = format!("#!/bin/sh\ncase \"$1\" in -print*) ;; *) {note} ;; esac\n{then}\n");
        write(&path, &script);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What the programs were asked to do since the last time.
    pub(crate) fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.log_path()).unwrap_or_default();
        let _not_there = fs::remove_file(self.log_path());
        text.lines().map(str::to_owned).collect()
    }

    /// A sketch with a header and a second file.
    pub(crate) fn sketch(&self, place: &str) -> PathBuf {
        let folder = self.root().join(place).join("blink");
        write(
            &folder.join("blink.ino"),
            "#include \"config.h\"\nvoid setup() {}\nvoid loop() { step(ticks()); }\nint step(int by) { return by * PERIOD; }\n",
        );
        write(&folder.join("config.h"), "#define PERIOD 1\n");
        write(&folder.join("other.cpp"), "#include \"config.h\"\nint other() { return PERIOD; }\n");
        folder
    }

    pub(crate) async fn build(&self, wish: &BuildWish) -> Result<Built, BuildError> {
        tokio::time::timeout(DEADLINE, build(&self.env, wish, None)).await.expect("a build of a toy ends")
    }

    /// Builds, and gives what compilers printed, without colours.
    pub(crate) async fn build_printed(&self, wish: &BuildWish) -> (Result<Built, BuildError>, String) {
        let (built, printed) = self.build_coloured(wish).await;
        (built, farmhand_api::plain(&printed))
    }

    /// Builds, and gives what compilers printed.
    pub(crate) async fn build_coloured(&self, wish: &BuildWish) -> (Result<Built, BuildError>, String) {
        let (events, mut seen) = tokio::sync::mpsc::channel(4);
        let print = tokio::spawn(async move {
            let mut printed = String::new();
            while let Some(event) = seen.recv().await {
                if let BuildEvent::Diagnostic { text } = event {
                    printed.push_str(&text);
                }
            }
            printed
        });
        let built = tokio::time::timeout(DEADLINE, build(&self.env, wish, Some(events))).await;
        (built.expect("a build of a toy ends"), print.await.unwrap())
    }
}

pub(crate) fn wish(source: Source, build_dir: PathBuf) -> BuildWish {
    BuildWish {
        board: "arduino:avr:toy".into(),
        build: Build {
            source,
            toolchain: Toolchain::Managed,
            flags: vec![],
            cxx_flags: vec![],
            link_flags: vec![],
            jobs: 0,
        },
        build_dir,
    }
}

pub(crate) fn sketch_wish(folder: &Path) -> BuildWish {
    wish(Source::Sketch(folder.to_string_lossy().into_owned()), folder.join(".farmhand/build"))
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < DEADLINE, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until files that were written so far are no longer taken for just written.
pub(crate) async fn let_a_tick_pass(folder: &Path) {
    let probe = folder.join("probe");
    fs::write(&probe, "").unwrap();
    let written = fs::metadata(&probe).unwrap().modified().unwrap();
    until("the clock goes", || written.elapsed().is_ok_and(|since| since > Duration::from_millis(50))).await;
}
