//! The options that PlatformIO knows (PlatformIO documentation, "Project Configuration File"; each option's page says whether it may
//! have several values, which variable adds to it or replaces it, and what it is where nobody says anything).

/// What an option is where nobody says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Default {
    /// Nothing.
    None,
    /// This; it may stand for others.
    Text(&'static str),
    /// PlatformIO's own folder.
    CoreDir,
}

/// An option that PlatformIO knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// `platformio` or `env`.
    pub(super) scope: &'static str,
    pub(super) name: &'static str,
    /// It may have several values.
    pub(super) several: bool,
    pub(super) default: Default,
    /// A variable of the environment that adds to it where it may have several values, and otherwise replaces it.
    pub(super) variable: Option<&'static str>,
    /// What it was called.
    pub(super) old: &'static [&'static str],
}

const fn one(scope: &'static str, name: &'static str) -> Known {
    Known { scope, name, several: false, default: Default::None, variable: None, old: &[] }
}

const fn many(scope: &'static str, name: &'static str) -> Known {
    Known { several: true, ..one(scope, name) }
}

impl Known {
    const fn or(self, default: &'static str) -> Self {
        Self { default: Default::Text(default), ..self }
    }

    const fn var(self, variable: &'static str) -> Self {
        Self { variable: Some(variable), ..self }
    }

    const fn was(self, old: &'static [&'static str]) -> Self {
        Self { old, ..self }
    }
}

const P: &str = "platformio";
const E: &str = "env";

const fn folder(name: &'static str, default: &'static str, variable: &'static str) -> Known {
    one(P, name).or(default).var(variable)
}

static KNOWN: &[Known] = &[
    one(P, "name"),
    one(P, "description"),
    many(P, "default_envs").var("PLATFORMIO_DEFAULT_ENVS").was(&["env_default"]),
    many(P, "extra_configs"),
    Known { default: Default::CoreDir, ..one(P, "core_dir").var("PLATFORMIO_CORE_DIR").was(&["home_dir"]) },
    folder("globallib_dir", "${platformio.core_dir}/lib", "PLATFORMIO_GLOBALLIB_DIR"),
    folder("platforms_dir", "${platformio.core_dir}/platforms", "PLATFORMIO_PLATFORMS_DIR"),
    folder("packages_dir", "${platformio.core_dir}/packages", "PLATFORMIO_PACKAGES_DIR"),
    folder("cache_dir", "${platformio.core_dir}/.cache", "PLATFORMIO_CACHE_DIR"),
    one(P, "build_cache_dir").var("PLATFORMIO_BUILD_CACHE_DIR"),
    folder("workspace_dir", "${PROJECT_DIR}/.pio", "PLATFORMIO_WORKSPACE_DIR"),
    folder("build_dir", "${platformio.workspace_dir}/build", "PLATFORMIO_BUILD_DIR"),
    folder("libdeps_dir", "${platformio.workspace_dir}/libdeps", "PLATFORMIO_LIBDEPS_DIR"),
    folder("include_dir", "${PROJECT_DIR}/include", "PLATFORMIO_INCLUDE_DIR"),
    folder("src_dir", "${PROJECT_DIR}/src", "PLATFORMIO_SRC_DIR"),
    folder("lib_dir", "${PROJECT_DIR}/lib", "PLATFORMIO_LIB_DIR"),
    folder("data_dir", "${PROJECT_DIR}/data", "PLATFORMIO_DATA_DIR"),
    folder("test_dir", "${PROJECT_DIR}/test", "PLATFORMIO_TEST_DIR"),
    folder("boards_dir", "${PROJECT_DIR}/boards", "PLATFORMIO_BOARDS_DIR"),
    folder("monitor_dir", "${PROJECT_DIR}/monitor", "PLATFORMIO_MONITOR_DIR"),
    folder("shared_dir", "${PROJECT_DIR}/shared", "PLATFORMIO_SHARED_DIR"),
    one(E, "platform"),
    many(E, "platform_packages"),
    one(E, "board"),
    many(E, "framework"),
    one(E, "board_build.mcu").was(&["board_mcu"]),
    one(E, "board_build.f_cpu").was(&["board_f_cpu"]),
    one(E, "board_build.f_flash").was(&["board_f_flash"]),
    one(E, "board_build.flash_mode").was(&["board_flash_mode"]),
    one(E, "build_type").or("release"),
    many(E, "build_flags").var("PLATFORMIO_BUILD_FLAGS"),
    many(E, "build_src_flags").var("PLATFORMIO_BUILD_SRC_FLAGS").was(&["src_build_flags"]),
    many(E, "build_unflags").var("PLATFORMIO_BUILD_UNFLAGS"),
    many(E, "build_src_filter")
        .or("+<*> -<.git/> -<.svn/>")
        .var("PLATFORMIO_BUILD_SRC_FILTER")
        .was(&["src_filter"]),
    many(E, "targets"),
    one(E, "upload_port").var("PLATFORMIO_UPLOAD_PORT"),
    one(E, "upload_protocol"),
    one(E, "upload_speed"),
    many(E, "upload_flags").var("PLATFORMIO_UPLOAD_FLAGS"),
    one(E, "upload_resetmethod"),
    one(E, "upload_command"),
    one(E, "monitor_port"),
    one(E, "monitor_speed").or("9600").was(&["monitor_baud"]),
    one(E, "monitor_parity").or("N"),
    many(E, "monitor_filters"),
    one(E, "monitor_rts"),
    one(E, "monitor_dtr"),
    one(E, "monitor_eol").or("CRLF"),
    one(E, "monitor_raw").or("False"),
    one(E, "monitor_echo").or("False"),
    one(E, "monitor_encoding").or("UTF-8"),
    many(E, "lib_deps").was(&["lib_use", "lib_force", "lib_install"]),
    many(E, "lib_ignore"),
    many(E, "lib_extra_dirs").var("PLATFORMIO_LIB_EXTRA_DIRS"),
    one(E, "lib_ldf_mode").or("chain"),
    one(E, "lib_compat_mode").or("soft"),
    one(E, "lib_archive").or("True"),
    many(E, "check_tool").or("cppcheck"),
    many(E, "check_src_filters").was(&["check_patterns"]),
    many(E, "check_flags"),
    many(E, "check_severity").or("low, medium, high"),
    one(E, "check_skip_packages").or("False"),
    one(E, "test_framework").or("unity"),
    many(E, "test_filter"),
    many(E, "test_ignore"),
    one(E, "test_port"),
    one(E, "test_speed").or("115200"),
    one(E, "test_build_src").or("False").was(&["test_build_project_src"]),
    many(E, "test_testing_command"),
    one(E, "debug_tool"),
    many(E, "debug_build_flags").or("-Og, -g2, -ggdb2"),
    one(E, "debug_init_break").or("tbreak main"),
    many(E, "debug_init_cmds"),
    many(E, "debug_extra_cmds"),
    many(E, "debug_load_cmds").or("load").was(&["debug_load_cmd"]),
    one(E, "debug_load_mode").or("always"),
    many(E, "debug_server"),
    one(E, "debug_port"),
    one(E, "debug_speed"),
    one(E, "debug_svd_path"),
    one(E, "debug_server_ready_pattern"),
    one(E, "debug_test"),
    many(E, "extends"),
    many(E, "extra_scripts").var("PLATFORMIO_EXTRA_SCRIPTS").was(&["extra_script"]),
];

/// What is known of an option of a section, under whichever of its names.
pub(super) fn known(section: &str, option: &str) -> Option<&'static Known> {
    let scope = section.split(':').next().unwrap_or(section);
    let of_scope = || KNOWN.iter().filter(|known| known.scope == scope);
    of_scope()
        .find(|known| known.name == option)
        .or_else(|| of_scope().find(|known| known.old.contains(&option)))
}

/// Those of a scope that a variable of the environment says.
pub(super) fn with_variables(scope: &str) -> impl Iterator<Item = &'static Known> {
    KNOWN.iter().filter(move |known| known.scope == scope && known.variable.is_some())
}
